"""Authentication: API keys with HTTP Digest, and service accounts with OAuth tokens."""
