"""How the fake Slack reaches the app: Socket Mode."""
