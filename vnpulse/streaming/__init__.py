"""Consuming: the partition loop, and what each consumer group does with a batch."""
