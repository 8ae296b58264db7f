"""The only place that knows kafka-python. Everything else sees columns, names and our errors."""
