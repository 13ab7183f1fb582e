"""The message about each download restore job that the watch finds."""
