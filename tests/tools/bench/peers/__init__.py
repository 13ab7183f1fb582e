"""What the bot is measured beside: each a program of its own, told its port by its first line."""
