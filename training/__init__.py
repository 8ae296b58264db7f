"""Makes the sentiment model that ships with vnpulse: ``python -m training.train``."""
