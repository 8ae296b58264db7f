"""The only place that knows kafka-python and Confluent's registry client. Everything else sees columns,
names and our errors."""
