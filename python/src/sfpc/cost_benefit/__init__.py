"""Costs and benefits of a programme: cost survey, cost of care, prices, ratio and net value (FV.CBA.1, FV.CBA.2)."""
