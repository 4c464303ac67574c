"""The chapters of the report, for both of its versions: what is internal, and what may leave (DP.5, FV.EST.8).

The internal version is made of results and marts, the releasable one of the disclosure door's tables alone. Both have
these chapters in this order; of every kind of table and figure it is said here what becomes of it in the releasable
one, and a test compares that with the internal report of a run.
"""

from __future__ import annotations

from dataclasses import dataclass

TITLES = {
    "finding": "What we found",
    "participants": "Who was studied",
    "comparators": "How the comparison LAs were chosen",
    "balance": "How alike the two groups of children are",
    "estimates": "The effect on each outcome",
    "sensitivity": "Does the result depend on how it was found?",
    "missing": "What is not known of some children",
    "power": "How small an effect could have been found",
    "triangulation": "What another design says",
    "costs": "What it costs and what it saves",
    "data": "The data and their quality",
    "recovery": "Does the method find a known effect?",
    "plan": "The plan, and what departs from it",
    "protocol": "The protocol, clause by clause",
    "limits": "What this report cannot say",
    "about": "About this run",
}

SEVERAL_OUTCOMES = (
    "The table holds every outcome of the protocol. With several outcomes, one may look changed by chance alone; for"
    " the secondary ones “statistically significant” therefore goes by p adjusted for all of them together (Hochberg)."
    " An interval holds the effects that the data are compatible with."
)
AMONG_WHOM = (
    "Only children who became looked after can have this outcome. The programme may change which children these are, so"
    " the comparison is of two groups that need not be alike."
)
BALANCE = (
    "Within each treatment LA and its comparison LAs, children are matched exactly on broad groups of their"
    " characteristics. Children without a counterpart in the other arm are left out, and comparison children are"
    " weighted so that both arms have the same mix. A standardised difference of 0 means that a characteristic is"
    " equally common in both arms."
)
MISSING = (
    "Some characteristics of children are not recorded. In the primary analysis what is missing is a group of its own."
)


@dataclass(frozen=True)
class Fate:
    """What becomes of a kind of table or figure in the releasable version.

    kind: its key without the study. shown: what stands in its place, if anything; why: else, why it is left out.
    """

    kind: str
    what: str
    shown: str = ""
    why: str = ""


_OTHER_CHILDREN = "it is about other children than the primary model and would tell of those who lie between"
_NO_DEGREES = "the children and parameters behind it are not held with the results, so that it cannot be judged"
_ONLY_CHILDREN = "only numbers of distinct children can be judged"

# By chapter; a chapter with one fate of the kind '*' is left out as a whole.
FATES: dict[str, tuple[Fate, ...]] = {
    "finding": (Fate("summary", "Every outcome in plain words", shown="the same, of released estimates"),),
    "participants": (
        Fate("flow", "The participant flow", shown="children by arm, rounded"),
        Fate("flow-table", "Referrals and children by LA", why=f"it counts referrals; {_ONLY_CHILDREN}"),
    ),
    "comparators": (
        Fate("ranking", "Nearest candidates of each treatment LA", shown="the accepted pairs with their distances"),
        Fate("trend", "Trends before go-live", why=f"a child can be in several quarters; {_ONLY_CHILDREN}"),
        Fate("excluded", "Treatment LAs without a comparison, and why", why="its reasons are words that people wrote"),
    ),
    "balance": (
        Fate("balance", "Differences between the arms", shown="the same, of released levels"),
        Fate("shares", "Children matched, and imbalance", shown="the same, rounded"),
        Fate("levels", "Every level of every characteristic", shown="the same after matching; small levels hidden"),
    ),
    "estimates": (
        Fate("main", "The primary model and its companions", shown="those on the same children"),
        Fate("inference", "The primary estimate by every method of inference", shown="the same"),
        Fate("planted", "The planted effect by LA", why="it is known of synthetic data alone"),
    ),
    "sensitivity": (
        Fate("effects", "All estimates of the run", shown="those on the same children (chapter on the effect)"),
        Fate("forest", "Every variant that asks the same question", shown="those on the same children"),
        Fate("exposure", "Exposure, not intention to treat", why=_OTHER_CHILDREN),
        Fate("curve", "Specification curve", why="most of it is about other children than the primary model"),
        Fate("event", "Effect by quarter since go-live", why=_NO_DEGREES),
        Fate("event-study", "Effect by quarter since go-live", why=_NO_DEGREES),
        Fate("leads", "Whether the groups moved apart before go-live", why=_NO_DEGREES),
        Fate("bacon", "Goodman-Bacon decomposition", why=_NO_DEGREES),
        Fate("bacon-table", "Goodman-Bacon decomposition", why=_NO_DEGREES),
        Fate("bounds", "What remains of the effect if trends part", why=_NO_DEGREES),
        Fate("without", "The estimate without each LA in turn", why=_OTHER_CHILDREN),
        Fate("leave-one-out", "The estimate without each LA in turn", why=_OTHER_CHILDREN),
    ),
    "missing": (
        Fate("missing-effects", "The effect by what is done about missing characteristics", why=_OTHER_CHILDREN),
        Fate("missing", "Characteristics, how many are missing", shown="the same by arm, rounded"),
        Fate("patterns", "Which characteristics are missing together", why="its groups are small; it is not offered"),
        Fate("missingness", "Whether missing is related to treatment", why=_NO_DEGREES),
    ),
    "power": (Fate("*", "Power and minimum detectable effects", why=_NO_DEGREES),),
    "triangulation": (Fate("*", "The stepped wedge and its agreement with the main design", why=_NO_DEGREES),),
    "costs": (Fate("*", "Costs and benefits", why=f"it is about days and money; {_ONLY_CHILDREN}"),),
    "data": (
        Fate("*", "Rows received, quality of returns and their coverage", why=f"it counts rows; {_ONLY_CHILDREN}"),
    ),
    "recovery": (Fate("*", "The recovery study", why="it is about synthetic data alone and is kept with the code"),),
    "plan": (
        Fate(
            "*",
            "The plan and its deviations",
            why="its reasons are words that people wrote; the plan itself is exported for pre-registration",
        ),
    ),
    "protocol": (
        Fate("*", "The protocol clause by clause", why="it says nothing about children and is kept with the code"),
    ),
    "limits": (),
    "about": (Fate("settings", "Settings of matching and estimation", why="they are kept with the code"),),
}


def fate_of(chapter: str, kind: str) -> Fate | None:
    """What becomes of a table or figure: by the longest kind that its key is or begins with; None where nobody said."""
    own = FATES.get(chapter, ())
    found = [fate for fate in own if fate.kind in ("*", kind) or kind.startswith(f"{fate.kind}-")]
    return max(found, key=lambda fate: len(fate.kind), default=None)
