"""Kafka, a MongoDB-compatible store and Ray as child processes of one owner, for laptops and tests.

Nothing is imported here: the guardian (`reaper`) must start in milliseconds.
"""
