"""Collecting prices and news from outside, and knowing when to ask."""
