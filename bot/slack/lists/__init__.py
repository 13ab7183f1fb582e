"""The private messages of `list` and `history`."""
