"""From files as received to typed landing tables, with a full account of every row."""
