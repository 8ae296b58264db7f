"""The demonstration: a shipped sample of real bars, replayed through the whole system and checked."""
