"""Stand-in for dbt's graph of nodes, for the linter only."""

nodes = {}
