"""The domain: a request to cancel one restore job, its policy, its ledger and its runner. No Slack, no HTTP."""
