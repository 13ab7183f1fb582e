"""The demo: the real bot between a fake Slack and a fake Atlas, all on this machine."""
