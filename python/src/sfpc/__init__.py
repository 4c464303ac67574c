"""Warehouse and evaluation engine for matched difference-in-differences studies of children's social care."""

__version__ = "0.1.0"
