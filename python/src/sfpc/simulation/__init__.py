"""Studies whose truth is known: what every method of inference makes of them (FV.EST.3, FV.POWER.1)."""
