"""The watch: polls the restore jobs of each watched project."""
