"""Block Kit: its elements, their limits, the values of inputs, and blocks as plain text."""
