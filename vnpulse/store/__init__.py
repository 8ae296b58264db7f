"""The only place that knows pymongo. Everything else sees batches, messages and our errors."""
