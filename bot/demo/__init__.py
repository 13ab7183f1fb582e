"""The demo: the real bot between stand-ins of Slack and Atlas, on this machine alone."""
