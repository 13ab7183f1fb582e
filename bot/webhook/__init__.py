"""The audit webhook: posts every event of the audit log, signed, to a receiver."""
