"""What answers Slack's payloads: translate, one call, render."""
