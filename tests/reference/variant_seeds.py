"""Seeds in which every programme has LAs of the synthetic extracts, and a fourth programme that does not exist.

The synthetic extracts hold no treatment LA of the two sister programmes. variant/*.csv moves their dates to LAs that
the extracts have and adds a made-up programme. Rows only: that nothing else is needed is what is shown (FV.PROG.5).
"""

from __future__ import annotations

import csv
from pathlib import Path

from definitions import Row

VARIANT = Path(__file__).with_name("variant")


def rows_of_variant(name: str) -> list[Row]:
    """The rows of one file of the variant."""
    with (VARIANT / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def with_variant(name: str, rows: list[Row]) -> list[Row]:
    """The rows of a seed in the variant: those of a programme that the variant names are replaced, all others stay."""
    if not (VARIANT / f"{name}.csv").is_file():
        return rows
    new = rows_of_variant(name)
    replaced = {r["programme_id"] for r in new}
    return [r for r in rows if r["programme_id"] not in replaced] + new


def variant_of(seeds: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The seeds of the variant."""
    return {name: with_variant(name, rows) for name, rows in seeds.items()}


def write_variant(seeds_dir: Path) -> None:
    """Change a copy of the seeds into those of the variant."""
    for name in sorted(p.stem for p in VARIANT.glob("*.csv")):
        (path,) = seeds_dir.rglob(f"{name}.csv")
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or []), list(reader)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(with_variant(name, rows))
