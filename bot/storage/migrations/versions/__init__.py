"""One module for each version, numbered; a released version is never changed."""
