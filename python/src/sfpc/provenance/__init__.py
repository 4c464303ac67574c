"""Walking a number back to the bytes it came from, and finding what changed since (DP.8)."""
