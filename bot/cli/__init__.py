"""The command line `cancel-restore`."""
