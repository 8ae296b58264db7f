"""Faults on purpose: what is killed or held up while a recorded day is replayed, and what came of it."""
