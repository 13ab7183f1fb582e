"""The question to the person who started a download, and the answers."""
