"""Settings of power and cost-benefit, from the mart that holds them (FV.POWER.1, FV.CBA.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import duckdb

from sfpc.errors import SfpcError
from sfpc.marts import SCHEMA

_MART = "dim_economic_settings"


@dataclass(frozen=True)
class Economics:
    """values: every setting and simulation parameter as text. power_table: by programme, the protocol's power table."""

    values: Mapping[str, str]
    power_table: Mapping[str, Mapping[str, float]]

    def text(self, setting: str) -> str:
        """A setting as text; an unknown one is an error naming it."""
        if setting not in self.values:
            raise SfpcError(f"{_MART}: no row for '{setting}'")
        return self.values[setting]

    def number(self, setting: str) -> float:
        """A setting as a number."""
        return _number(setting, self.text(setting))

    def flag(self, setting: str) -> bool:
        """A setting that is true or false."""
        value = self.text(setting)
        if value not in ("true", "false"):
            raise SfpcError(f"{_MART}: '{setting}' is '{value}'; expected true or false")
        return value == "true"

    def day(self, setting: str) -> date:
        """A setting that is a date."""
        value = self.text(setting)
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise SfpcError(f"{_MART}: '{setting}' is '{value}'; expected a date, YYYY-MM-DD") from error


def read_economics(connection: duckdb.DuckDBPyConnection) -> Economics:
    """Read the settings. Raises SfpcError where the marts lack them or one stands there twice."""
    try:
        rows = connection.execute(f"select kind, programme_id, setting, value from {SCHEMA}.{_MART}").fetchall()
    except duckdb.CatalogException as error:
        raise SfpcError(f"the marts hold no {_MART}: build them again (make build)") from error
    values: dict[str, str] = {}
    tables: dict[str, dict[str, float]] = {}
    for kind, programme_id, setting, value in rows:
        if kind == "power table":
            tables.setdefault(programme_id, {})[setting] = _number(setting, value)
        elif setting in values:
            raise SfpcError(f"{_MART}: '{setting}' stands there more than once")
        else:
            values[setting] = value
    return Economics(values, tables)


def _number(setting: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError as error:
        raise SfpcError(f"{_MART}: '{setting}' is '{value}', not a number") from error
    if not math.isfinite(number):
        raise SfpcError(f"{_MART}: '{setting}' is '{value}', not a finite number")
    return number
