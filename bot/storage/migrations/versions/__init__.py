"""One module a version, numbered; a version that was released is never changed."""
