"""`cancel-restore doctor`: checks what the bot needs, by reads of the real services only."""
