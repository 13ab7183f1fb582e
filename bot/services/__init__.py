"""What the bot does for people, above the stores: the service, the runner, the sweeper, the search, the watch."""
