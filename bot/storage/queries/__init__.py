"""Every SQL statement, named, one module per aggregate."""
