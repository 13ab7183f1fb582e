"""Answers calls of the API: parses and checks a request, builds the response."""
