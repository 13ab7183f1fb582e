"""Application services on top of the stores: requests, runner, sweeper, search, watch."""
