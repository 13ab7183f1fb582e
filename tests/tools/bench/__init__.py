"""What the bot costs, measured beside its peers: `python -m tests.tools.bench`."""
