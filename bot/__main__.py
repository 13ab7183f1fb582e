"""`python -m bot` is the program `cancel-restore`."""

from bot.cli import main

if __name__ == "__main__":
    main()
