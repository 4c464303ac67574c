"""Stand-in for dbt's adapter object, for the linter only."""


def dispatch(name, package=None):
    """Return a macro that renders as a plain column name."""
    return lambda *args, **kwargs: "lint_" + name
