"""What `benchmarks.fuzz` feeds to Basin, and how it tells surviving from failing."""
