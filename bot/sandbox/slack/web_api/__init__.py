"""Calls of the app: `/api/<method>`."""
