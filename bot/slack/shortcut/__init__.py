"""The message shortcut."""
