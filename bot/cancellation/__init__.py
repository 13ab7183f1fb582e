"""The rules of a cancellation request: states, policy, events, errors. No I/O, no Slack."""
