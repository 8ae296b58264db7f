"""A package for pytest: what its fixtures of that scope start ends with the last test of this folder."""
