"""Stand-in for dbt's cross-database macros, for the linter only."""


def type_string():
    """Text type."""
    return "varchar"


def type_double():
    """64-bit float type."""
    return "double"


def listagg(measure, delimiter, order_by=None):
    """Aggregate texts into one."""
    return f"listagg({measure}, {delimiter})"


def datediff(first_date, second_date, datepart):
    """Number of date parts between two dates."""
    return f"date_diff('{datepart}', {first_date}, {second_date})"
