"""Technical analysis of bars: a columnar engine, a score, and the analyzer that joins them."""
