"""Latency and resources of the bot, measured beside its peers: `python -m tests.tools.bench`."""
