"""The card of a request and the replies in its thread."""
