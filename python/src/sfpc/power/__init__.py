"""Power: what effects a study of these LAs, dates and sizes can find (FV.POWER.1)."""
