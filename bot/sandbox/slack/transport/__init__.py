"""How the fake Slack reaches the app: signed HTTP requests and Socket Mode."""
