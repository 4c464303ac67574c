"""Which LA a code or a name means, by the rows of ``seeds/reference/local_authority_codes.csv``.

Source: docs/raw_data.md, trap 24.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sfpc.errors import InputError
from sfpc.settings import project_root

REGISTER = Path("seeds", "reference", "local_authority_codes.csv")

# What LAs add to their names or leave out; the rest tells them apart.
_TITLES = frozenset(
    {"and", "authority", "borough", "city", "corporation", "council", "county", "district"}
    | {"london", "metropolitan", "of", "royal", "the", "unitary", "upon"}
)


@dataclass(frozen=True)
class _Entry:
    code: str
    first_year: int
    last_year: int


class UnknownLa(InputError):
    """A value that is no LA of the register. problem: why, with the class of the value and never the value."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class LaRegister:
    """The register, for look-ups by three-digit code, ONS code or name."""

    def __init__(self, path: Path) -> None:
        self._by_key: dict[str, list[_Entry]] = {}
        self._names: list[str] = []
        self.codes: dict[str, str] = {}
        """Three-digit code by three-digit code and by ONS code, for look-ups of whole columns."""
        with path.open(newline="", encoding="utf-8") as handle:
            for number, row in enumerate(csv.DictReader(handle), start=2):
                try:
                    entry = _Entry(row["la_code"], int(row["first_return_year"]), int(row["last_return_year"]))
                    keys = {row["la_code"], row["ons_code"].upper(), *_keys(row["la_name"])}
                    self._names.append(row["la_name"])
                    self.codes |= dict.fromkeys((row["la_code"], row["ons_code"].upper()), row["la_code"])
                except (KeyError, ValueError) as error:
                    raise InputError(
                        "expected la_code, ons_code, la_name, first_return_year and last_return_year",
                        file=path,
                        row=number,
                    ) from error
                for key in keys:
                    self._by_key.setdefault(key, []).append(entry)
        self._find = lru_cache(maxsize=4096)(self._look_up)

    def code_of(self, value: str, return_year: int | None = None) -> str:
        """Three-digit code of the LA that a code, an ONS code or a name means.

        Case, punctuation and titles (County, Borough of, City of) make no difference to a name. A name that
        several codes had one after the other means the one that returned in ``return_year``.

        Raises UnknownLa for a value that no row has, naming the nearest name, and for a name of several
        codes of which the year does not choose one.
        """
        return self._find(value.strip(), return_year)

    def _look_up(self, value: str, return_year: int | None) -> str:
        found: list[_Entry] = []
        for key in (value.removesuffix(".0"), value.upper(), *_keys(value)):
            found = self._by_key.get(key, [])
            if found:
                break
        codes = {entry.code for entry in found}
        if len(codes) > 1:
            codes = {e.code for e in found if return_year is not None and e.first_year <= return_year <= e.last_year}
        if len(codes) == 1:
            return codes.pop()
        if found:
            raise UnknownLa(f"a name that several LAs had ({_listed(e.code for e in found)}); give the code")
        raise UnknownLa(self._why_unknown(value))

    def _why_unknown(self, value: str) -> str:
        if re.fullmatch(r"[0-9.]+", value):
            return f"{len(value)} digits that are the code of no LA"
        if re.fullmatch(r"[EeWwSsNn][0-9]{8}", value):
            return "an ONS code that is that of no LA"
        by_plain = {_plain(name): name for name in self._names}
        words = set(_plain(value).split())
        near = [name for name in by_plain if words and words <= set(name.split())]
        near = near or difflib.get_close_matches(_plain(value), by_plain, n=1, cutoff=0.6)
        return f"a name of {len(value)} characters that no LA has" + (
            f"; nearest is {by_plain[near[0]]}" if near else ""
        )


@lru_cache(maxsize=1)
def _register(path: Path) -> LaRegister:
    return LaRegister(path)


def la_register() -> LaRegister:
    """The register of the project, read once.

    Raises SfpcError outside the project.
    """
    return _register(project_root() / REGISTER)


def _keys(name: str) -> tuple[str, ...]:
    """A name as written, and as the set of the words that tell it apart, in any order."""
    words = _plain(name).split()
    # One LA has a name of nothing but titles.
    telling = sorted(set(words) - _TITLES) or sorted(set(words) - {"corporation", "council", "the"})
    return (" ".join(words), *([f"words {' '.join(telling)}"] if telling else []))


def _plain(name: str) -> str:
    name = re.sub(r"['’.]", "", name.casefold()).replace("&", " and ")
    return " ".join(re.sub(r"[\W_]+", " ", name).split())


def _listed(codes: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(codes))
