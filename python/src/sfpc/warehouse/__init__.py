"""Running dbt and publishing the marts."""
