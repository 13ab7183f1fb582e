"""The domain: a request to cancel a restore job, its rules, ledger and runner. No Slack."""
