"""The peers of the bot, each a separate program that prints its port first."""
