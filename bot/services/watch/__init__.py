"""Polls the restore jobs of each watched project."""
