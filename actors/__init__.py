"""The Ray shells. Each wraps a plain class that is tested without a cluster."""
