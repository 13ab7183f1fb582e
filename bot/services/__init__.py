"""What runs on top of the stores: the service, the runner, the sweeper, the search, the watch."""
