"""Application services on top of the stores: requests, runs, deadlines, look-ups, the watch."""
