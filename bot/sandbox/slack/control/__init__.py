"""The control API, for other processes."""
