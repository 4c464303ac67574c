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


def write_variant(seeds_dir: Path) -> None:
    """Change a copy of the seeds: rows of a programme that the variant gives LAs are replaced, all others stay."""
    for name in sorted(p.stem for p in VARIANT.glob("*.csv")):
        (path,) = seeds_dir.rglob(f"{name}.csv")
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or []), list(reader)
        new = rows_of_variant(name)
        replaced = {r["programme_id"] for r in new}
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows([r for r in rows if r["programme_id"] not in replaced] + new)
