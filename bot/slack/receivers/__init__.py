"""Receivers of Slack's payloads: Socket Mode or HTTP."""
