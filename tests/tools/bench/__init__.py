"""Latency and resources of the bot, compared with its peers: `python -m tests.tools.bench`."""
