"""Two designs of one evaluation: the stepped wedge, whether it agrees with the main analysis, and what follows."""
