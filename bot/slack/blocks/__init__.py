"""Pure functions from the domain's values to Block Kit, as plain dictionaries."""
