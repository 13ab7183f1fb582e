"""cancel-restore: a Slack bot that cancels MongoDB Atlas backup-restore jobs safely."""
