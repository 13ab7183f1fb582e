"""Delivers queued posts to Slack."""
