"""The primary mask beside the package acro (governance test T2), in an environment of acro's own.

acro pins an older pandas than this project needs, so the two meet in files:

    PYTHONPATH=python/src .venv/bin/python tests/oracle/acro_primary_mask.py make FOLDER
    python -m venv FOLDER/acro && FOLDER/acro/bin/pip install acro==1.0.2
    FOLDER/acro/bin/python tests/oracle/acro_primary_mask.py check FOLDER

`make` writes made-up children, a row each (acro counts rows), and what this project hides of their tables; `check` asks
acro what it suppresses and ends with 1 where the two differ. Cells without children are left out: acro shows none.
"""

from __future__ import annotations

import csv
import logging
import sys
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

WORLDS = 200
ROWS, MASKS = "children.csv", "masks.csv"
RULES = ("threshold", "events", "dominance")


def make(folder: Path) -> None:
    """Write the children of every world and, per rule and cell, whether it is hidden."""
    root = Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root / "tests" / "python"))
    import numpy as np
    import pandas as pd

    from release_worlds import children, profile
    from sfpc.release.masks import hidden_children, hidden_events, hidden_values
    from sfpc.release.tables import Dimension, lay_out, of_children

    rules = profile()
    folder.mkdir(parents=True, exist_ok=True)
    worlds, masks = [], []
    for seed in range(WORLDS):
        draws = np.random.default_rng(7_000 + seed)
        rows = children(draws, int(draws.integers(60, 320)), a=4, b=4)
        rows["amount"] = np.round(draws.pareto(0.9, size=len(rows)) * 10, 2) + 0.01
        rows["has_event"] = draws.random(len(rows)) < draws.uniform(0.2, 0.8)
        worlds.append(rows.assign(world=seed))
        dimensions = (Dimension("a"), Dimension("b"))
        for rule in RULES:
            about: dict[str, Any] = {"events": {"event": "has_event"}, "dominance": {"amount": "amount"}}.get(rule, {})
            laid = lay_out(of_children("t", "t", rows, "child_id", dimensions, "p", **about))
            if rule == "threshold":
                hidden = hidden_children(laid, rules)
            elif rule == "events":
                hidden = hidden_events(laid, rules)
            else:
                hidden = hidden_values(laid, rules)["amount"]
            for row, is_hidden in zip(laid.frame.to_dict("records"), hidden, strict=True):
                if row["children"]:
                    masks.append((seed, rule, row["a"], row["b"], int(is_hidden)))
    pd.concat(worlds).to_csv(folder / ROWS, index=False)
    with (folder / MASKS).open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([("world", "rule", "a", "b", "hidden"), *masks])
    print(f"{len(masks)} cells in {folder}")


def check(folder: Path) -> int:
    """Compare every cell with acro's own suppression; returns the number of differences."""
    import acro  # type: ignore[import-not-found]
    import pandas as pd

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    rows = pd.read_csv(folder / ROWS)
    masks = pd.read_csv(folder / MASKS)
    session = acro.ACRO(suppress=True)

    def suppressed(part: Any, levels: tuple[list[str], list[str]], **values: Any) -> Any:
        found = session.crosstab(part["a"], part["b"], **values)
        if found.empty:
            # Where every cell is small, acro gives back a table without rows.
            return pd.DataFrame(True, index=levels[0], columns=levels[1])
        return found.reindex(index=levels[0], columns=levels[1]).isna()

    seen: Counter[str] = Counter()
    differences = 0
    for world, own in rows.groupby("world"):
        levels = sorted(own["a"].unique()), sorted(own["b"].unique())
        session.sdc_checks.risk_appetite |= {"safe_pratio_p": 0.0}
        by_rule = {"threshold": suppressed(own, levels)}
        both = [suppressed(own[own["has_event"] == flag], levels) for flag in (True, False)]
        by_rule["events"] = both[0] | both[1]
        parts = []
        for largest, share in ((1, 0.4375), (2, 0.85)):
            session.sdc_checks.risk_appetite |= {"safe_nk_n": largest, "safe_nk_k": share}
            parts.append(suppressed(own, levels, values=own["amount"], aggfunc="sum"))
        by_rule["dominance"] = parts[0] | parts[1]
        for row in masks[masks["world"] == world].itertuples():
            seen[row.rule] += 1
            if bool(by_rule[row.rule].loc[row.a, row.b]) != bool(row.hidden):
                differences += 1
                print(f"world {world}, {row.rule}, {row.a} {row.b}: hidden here {bool(row.hidden)}, acro differs")
    hidden = masks.groupby("rule")["hidden"].sum().to_dict()
    print(f"cells: {dict(seen)}; hidden: {hidden}; acro {version('acro')}; differences: {differences}")
    if min(seen[rule] for rule in RULES) < 2_000:
        print("fewer than 2,000 cells of a rule")
        return 1
    return differences


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "check"):
        sys.exit(f"usage: {sys.argv[0]} make|check FOLDER")
    place = Path(sys.argv[2])
    if sys.argv[1] == "make":
        make(place)
    elif check(place):
        sys.exit(1)
