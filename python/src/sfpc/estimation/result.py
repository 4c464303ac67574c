"""What every result of an estimator can do: a table, a text and a dictionary, made from its fields."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd

from sfpc.estimation.design import Design


class Result:
    """Base of the frozen dataclasses that estimators return.

    A number that is undefined is NaN in all three. The same result gives the same text and the same dictionary.
    """

    def to_dict(self) -> dict[str, Any]:
        """Fields by name, as plain numbers, texts, lists and dictionaries; a design without its rows."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]

    def tidy(self) -> pd.DataFrame:
        """One row, a column per field that is a single value; results of several numbers have rows of their own."""
        held = {name: value for name, value in self.to_dict().items() if not isinstance(value, (list, dict))}
        return pd.DataFrame([held])

    def summary(self) -> str:
        """The single values, a line each, and notes as sentences."""
        plain = self.to_dict()
        lines = [type(self).__name__]
        for name, value in plain.items():
            if not isinstance(value, (list, dict)):
                lines.append(f"  {name.replace('_', ' ')}: {f'{value:.6g}' if isinstance(value, float) else value}")
        lines += [f"  note: {note}" for note in plain.get("notes") or []]
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    if isinstance(value, Design):
        return {
            "names": list(value.names),
            "children_count": value.children_count,
            "cluster_count": len(value.cluster_names),
            "dropped": list(value.dropped),
            "notes": list(value.notes),
        }
    if isinstance(value, Result):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, pd.DataFrame):
        return value.to_dict("records")
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def coefficient_table(names: tuple[str, ...], coefficients: Any, covariance: Any) -> pd.DataFrame:
    """A row per coefficient: term, estimate, standard_error (CR1 by LA; NaN where undefined)."""
    variance = np.diag(covariance)
    error = np.sqrt(np.where(variance >= 0, variance, np.nan))
    return pd.DataFrame({"term": list(names), "estimate": coefficients, "standard_error": error})


__all__ = ["Result", "coefficient_table"]
