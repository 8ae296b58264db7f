"""Wiring: one module a consumer group, and the entry points that ``ray job submit`` runs."""
