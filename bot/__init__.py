"""cancel-restore: a Slack bot that cancels downloads of MongoDB Atlas backups safely."""
