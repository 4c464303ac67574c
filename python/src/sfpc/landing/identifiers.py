r"""Identifiers are found by value, not only by the name of their column (DP.1).

Fourteen kinds, in the order in which a value is tried:

 1. e-mail address
 2. web or social media address
 3. National Insurance number (letters as issued, six digits, suffix A to D)
 4. passport number (machine-readable line, with the word or the country, or nine digits where no number belongs)
 5. mobile number (07..., +44 7...)
 6. telephone number (01, 02 or 03 and nine digits, +44 ...)
 7. postcode (an area that exists, in the form of a full postcode)
 8. unique pupil number, permanent, temporary or former (check letter: weights 2 to 13, modulo 23)
 9. NHS number (weights 10 to 1, modulo 11 leaves 0)
10. unique learner number (weights 10 to 1, modulo 11 leaves 10)
11. full date of birth (day, month and year, in digits or words)
12. street address
13. reference made from a name (SMITH123, SMITH_J_2011)
14. name of a person

Every landing column states what belongs in it (``CONTENT``). A *code* is a known value of
``accepted_values.csv`` or at most as long as the longest code of its list; whatever else stands there is
not landed as text: it is one of the kinds above, or no code. A *child code* is free in form, and digits may
pass a check by chance (1 in 11 ten-digit numbers is a valid NHS number). So digits alone are judged by
their share within the file: they are taken for an identifier when their form is foreign to the column,
or when more of them pass the check than chance explains (:data:`FOREIGN_SHARE`, :data:`CHANCE_LIMIT`).

What cannot be told apart, and lands: nine bare digits as a child code (a passport number has no public check
digit), an unknown upper-case code of at most four letters that is no common name, a name among the labels
of a published table of fewer than ``LABEL_ROWS`` rows, and a single word as a child code, neither a common name
nor written as one, in a file of fewer than ``PREFIX_ROWS`` rows.

Source: the brief's data-protection clause DP.1; NHS Data Dictionary (NHS number), DfE guides to UPNs and to
ULNs (check characters), HMRC manual NIM39110 (National Insurance numbers), docs/raw_data.md traps 6 and 18.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import duckdb

FOREIGN_SHARE = 0.02
"""A form that fewer of a column's values have is foreign to it: a check that is passed is no chance there."""

CHANCE_LIMIT = 5.0
"""Standard deviations above the share expected by chance, from which passed checks are no chance."""

LABEL_ROWS = 20
LABEL_REPEATS = 3
"""A label of a published table recurs for every LA; one in fewer rows than this that looks like a name is one."""

PREFIX_SHARE = 0.05
PREFIX_ROWS = 20
"""Letters that this share of a file's child codes have in common are the prefix of a system, not a name."""

REFUSAL_SHARE = 0.5
REFUSAL_ROWS = 20
"""A column with identifiers in more than this share, and in at least so many rows, refuses the whole file."""

NO_CODE = "no code"
"""Text where a code belongs, of none of the kinds: not landed either, for it may be anything."""

KINDS = (
    "e-mail address",
    "web or social media address",
    "National Insurance number",
    "passport number",
    "mobile number",
    "telephone number",
    "postcode",
    "unique pupil number",
    "NHS number",
    "unique learner number",
    "full date of birth",
    "street address",
    "reference made from a name",
    "name of a person",
)

# What belongs in a landing column. A number: a code of at most so many characters (`codes`: several, with
# commas). The rest are the contents described by _PLAIN.
CONTENT: dict[str, str | tuple[str, int]] = {
    "la_code": "la_code",
    "ons_code": "ons_code",
    "la_child_id": "child_code",
    "pupil_id": "child_code",
    "is_expected_birth": ("code", 1),
    "is_unborn": ("code", 1),
    "gender": ("code", 1),
    "ethnicity": ("code", 4),
    "disability": ("codes", 4),
    "referral_source": ("code", 2),
    "primary_need": ("code", 2),
    "referral_nfa": ("code", 1),
    "closure_reason": ("code", 3),
    "cpp_initial_category": ("code", 3),
    "assessment_factors": ("codes", 3),
    "reason_for_new_episode": ("code", 1),
    "legal_status": ("code", 2),
    "category_of_need": ("code", 2),
    "placement": ("code", 3),
    "reason_episode_ceased": ("code", 3),
    "uasc_status": ("code", 1),
    "nc_year": ("code", 2),
    "fsm_eligible": ("code", 1),
    "ever_fsm_6": ("code", 1),
    "ever_fsm_6_p": ("code", 1),
    "ever_fsm_all": ("code", 1),
    "status": ("code", 1),
    "value": "figure",
    "time_period": "period",
    "published_table": "label",
    "breakdown": "label",
    "measure": "label",
    "landing_table": "label",
}

# Values of these forms need no second look (RE2, matched in full against upper case).
_PLAIN = {
    "la_code": r"[0-9]{1,4}(\.0+)?|[EWSNKLM][0-9]{8}",
    "ons_code": r"[EWSNKLM][0-9]{8}",
    # Up to seven digits and nine of them, a letter or two before a few digits: no kind looks like that.
    "child_code": r"[0-9]{1,7}|[0-9]{9}|[A-Z]{0,3}[0-9]{1,5}|[A-Z]{1,2}",
    "figure": r"[-+]?[0-9]{1,7}(\.[0-9]*)?%?|[-+]?[0-9]{1,2}(,[0-9]{3}){1,2}(\.[0-9]*)?",
    "period": r"(19|20)[0-9]{2}([0-9]{2})?|(19|20)[0-9]{2}[-/ ]?((19|20)?[0-9]{2}|Q[1-4]|W[0-9]{1,2}|M[0-9]{1,2})",
    # A label may be any words: each different one is looked at.
    "label": r"[0-9]{1,6}",
}

# A hash: an even number of hexadecimal digits, twelve or more (a UPN has thirteen characters), with a letter or
# too long for any number.
_HASH = (
    r"regexp_full_match({0}, '([0-9A-Fa-f][0-9A-Fa-f]){{6,}}') "
    r"and (regexp_matches({0}, '[A-Fa-f]') or length({0}) > 14)"
)

_AREAS = (
    "AB|AL|B|BA|BB|BD|BH|BL|BN|BR|BS|BT|CA|CB|CF|CH|CM|CO|CR|CT|CV|CW|DA|DD|DE|DG|DH|DL|DN|DT|DY|E|EC|EH|EN|EX|FK|FY|G|GL|GU|GY|"
    "HA|HD|HG|HP|HR|HS|HU|HX|IG|IM|IP|IV|JE|KA|KT|KW|KY|L|LA|LD|LE|LL|LN|LS|LU|M|ME|MK|ML|N|NE|NG|NN|NP|NR|NW|OL|OX|PA|PE|PH|PL|"
    "PO|PR|RG|RH|RM|S|SA|SE|SG|SK|SL|SM|SN|SO|SP|SR|SS|ST|SW|SY|TA|TD|TF|TN|TQ|TR|TS|TW|UB|W|WA|WC|WD|WF|WN|WR|WS|WV|YO|ZE"
)
_START, _END = r"(^|[^A-Z0-9])", r"($|[^A-Z0-9])"
_MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_DAY, _MONTH, _YEAR = "(0?[1-9]|[12][0-9]|3[01])", "(0?[1-9]|1[0-2])", "(19[2-9]|20[0-4])[0-9]"
_STREET = (
    "STREET|ROAD|AVENUE|LANE|CLOSE|DRIVE|WAY|COURT|CRESCENT|GARDENS|TERRACE|PLACE|GROVE|SQUARE|HILL|PARK|MEWS|GREEN|"
    "RISE|WALK|VIEW|ROW|HOUSE|ST|RD|AVE|LN|DR|CL|CRES|GDNS|TERR?|CT"
)
_UPN_LETTERS = "ABCDEFGHJKLMNPQRTUVWXYZ"

# Conditions on `u`, the value in upper case, and `squeezed`, the same without blanks, brackets, dots and hyphens.
_CERTAIN: tuple[tuple[str, str], ...] = (
    ("e-mail address", r"regexp_matches(u, '[^\s@]@[^\s@]+')"),
    (
        "web or social media address",
        r"regexp_matches(u, 'HTTPS?:|(^|[^A-Z])WWW\.|[A-Z0-9-]\.((CO|ORG|GOV|SCH|NHS|AC)\.UK|COM|ORG|NET|UK)($|[^A-Z])"
        r"|(^|\s)@[A-Z0-9_.]{3,}"
        r"|(FACEBOOK|INSTAGRAM|SNAPCHAT|TIKTOK|TWITTER|WHATSAPP|DISCORD|INSTA|SNAP)[ :/@]')",
    ),
    (
        "National Insurance number",
        rf"regexp_matches(u, '{_START}[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?[0-9]{{2}}[ -]?[0-9]{{2}}[ -]?[0-9]{{2}}"
        rf"[ -]?[A-D]{_END}') and not regexp_matches(u, '{_START}(BG|GB|KN|NK|NT|TN|ZZ)[ -]?[0-9]')",
    ),
    (
        "passport number",
        r"regexp_matches(u, 'PASSPORT|P<[A-Z]{3}|[0-9]{9,10}GBR([0-9]{6}|$)|GBR[ -]?[0-9]{9}')",
    ),
    ("mobile number", r"regexp_matches(squeezed, '(^|[^0-9])((\+44|0044|44)0?7[0-9]{9}|07[0-9]{9})($|[^0-9])')"),
    (
        "telephone number",
        r"regexp_matches(squeezed, '(^|[^0-9])((\+44|0044|44)0?[123][0-9]{9}|0[123][0-9]{9})($|[^0-9])')",
    ),
    (
        "postcode",
        rf"regexp_matches(u, '{_START}({_AREAS})[0-9][0-9A-Z]? *[0-9][ABD-HJLNP-UW-Z]{{2}}{_END}')",
    ),
    ("unique pupil number", "upn_passes and upn <> u"),
    ("NHS number", "nhs_passes and (ten_is_spaced or regexp_matches(u, 'NHS'))"),
    ("unique learner number", "uln_passes and (ten_is_spaced or regexp_matches(u, 'ULN'))"),
)
# The same for a value that is nothing but digits. All other rules of a child code ask for a letter or a sign,
# or stand in _BY_CHANCE.
_CERTAIN_OF_DIGITS: tuple[tuple[str, str], ...] = (
    ("mobile number", "regexp_full_match(value, '(44|0044)0?7[0-9]{9}|07[0-9]{9}')"),
    ("telephone number", "regexp_full_match(value, '(44|0044)0?[123][0-9]{9}|0[123][0-9]{9}')"),
)

_BIRTH = (
    rf"regexp_matches(u, '(^|[^0-9]){_DAY}[/.-]{_MONTH}[/.-]{_YEAR}($|[^0-9])')"
    rf" or regexp_matches(u, '(^|[^0-9]){_DAY}/{_MONTH}/[0-9]{{2}}($|[^0-9])')"
    rf" or regexp_matches(u, '(^|[^0-9]){_YEAR}[-/.]{_MONTH}[-/.]{_DAY}($|[^0-9])')"
    rf" or regexp_matches(u, '(^|[^0-9]){_DAY}(ST|ND|RD|TH)?[ ,/-]*({_MONTHS})[A-Z]*[ ,/-]*({_YEAR}|[0-9]{{2}})"
    r"($|[^0-9])')"
    rf" or regexp_matches(u, '(^|[^0-9]){_YEAR}[ ,/-]*({_MONTHS})[A-Z]*[ ,/-]*{_DAY}($|[^0-9])')"
)
_EIGHT = (
    rf"(regexp_full_match(u, '{_YEAR}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])') "
    rf"or regexp_full_match(u, '(0[1-9]|[12][0-9]|3[01])(0[1-9]|1[0-2]){_YEAR}'))"
)
_ADDRESS = (
    rf"regexp_matches(u, '(^|[^A-Z0-9])[0-9]+[A-Z]?,? +([A-Z''’-]+ +){{1,4}}({_STREET})($|[^A-Z])') "
    r"or regexp_matches(u, '(^|[^A-Z])(FLAT|APARTMENT|APT) [0-9]+')"
)
_WORDS_ONLY = r"regexp_full_match(u, '[\p{L}][\p{L} .''’`,/_-]*')"
_REFERENCE = (
    r"regexp_full_match(u, '[\p{L}]{4,}[ _./-]?[0-9]{1,8}[A-Z]?|[0-9]{1,8}[ _./-]?[\p{L}]{4,}') "
    r"or (regexp_matches(u, '[0-9]') and (regexp_matches(u, '[\p{L}]{3,}[ _./,-]+[\p{L}]+') "
    r"or regexp_matches(u, '[\p{L}][ _./,-]+[\p{L}]{3,}')))"
)


@dataclass(frozen=True)
class Suspicion:
    """Values of one column and kind that must not land: rows with one, of so many rows with any value."""

    column: str
    kind: str
    rows: int
    of_rows: int

    @property
    def refuses_file(self) -> bool:
        """Whether the column is identifying throughout (:data:`REFUSAL_SHARE`)."""
        return self.kind != NO_CODE and self.rows >= REFUSAL_ROWS and self.rows > REFUSAL_SHARE * self.of_rows


@cache
def accepted_values() -> dict[str, frozenset[str]]:
    """Values (upper case) that may land in a column although they are longer than its codes; ``any code``: in all."""
    text = (files("sfpc.landing") / "accepted_values.csv").read_text(encoding="utf-8")
    out: dict[str, set[str]] = {}
    for row in csv.DictReader(text.splitlines()):
        out.setdefault(row["column"], set()).add(row["value"])
    return {column: frozenset(values) for column, values in out.items()}


@cache
def common_names() -> frozenset[str]:
    """Common given names and surnames, upper case: a short word that is one of them is no code."""
    text = (files("sfpc.landing") / "common_names.csv").read_text(encoding="utf-8")
    return frozenset(text.split()[1:])


def screen(con: duckdb.DuckDBPyConnection, table: str, columns: list[str]) -> list[Suspicion]:
    """Find identifying values in text columns of a table.

    Parameters
    ----------
    con: connection that holds ``table``; a temporary table ``identifying`` (column_name, value, kind) is
    replaced in it, one row per value that must not land.
    columns: VARCHAR columns of the table without surrounding blanks, blanks being null.

    Returns one :class:`Suspicion` per column and kind, in the order of columns and kinds.
    """
    con.execute("create or replace temp table identifying (column_name varchar, value varchar, kind varchar)")
    found: list[Suspicion] = []
    for column in columns:
        content, longest = _content(column)
        con.execute(
            "create or replace temp table suspects as "
            f"select {column} as value, count(*) as n, regexp_full_match({column}, '[0-9]+') as is_digits from {table} "
            f"where {column} is not null and not ({_is_plain(column, content, longest)}) group by 1"
        )
        digits, others = _counts(
            con, "select count(*) filter (is_digits), count(*) filter (not is_digits) from suspects"
        )
        if not digits + others:
            continue
        rows = _one(con, f"select count({column}) from {table}")
        con.execute("create or replace temp table judged (value varchar, n bigint, kind varchar)")
        if content != "child_code":
            con.execute(_numbers("true"))
            con.execute(_judged(column, content, longest, rows, _shares(con, "numbers")))
        else:
            # A file may have a number of its own for every child; numbers alone need few of the rules.
            con.execute(_digits())
            con.execute(_numbers("not is_digits"))
            shares = _shares(con, "digits")
            if others:
                shares = {kind: share + shares[kind] for kind, share in _shares(con, "numbers").items()}
                con.execute(_judged(column, content, longest, rows, shares))
            if digits:
                con.execute(_judged_digits(rows, shares))
        found += [
            Suspicion(column, kind, int(n), rows)
            for kind, n in con.execute("select kind, sum(n) from judged group by kind order by kind").fetchall()
        ]
        con.execute(f"insert into identifying select '{column}', value, kind from judged")
    con.execute("drop view if exists digits")
    con.execute("drop view if exists numbers")
    for name in ("suspects", "judged"):
        con.execute(f"drop table if exists {name}")
    return found


def is_full_date(text: str) -> str:
    """SQL condition that a text expression is a whole date, as it must not be in a field of years or months."""
    return f"({_BIRTH} or {_EIGHT})".replace("(u,", f"(upper({text}),")


def _content(column: str) -> tuple[str, int]:
    content = CONTENT.get(column, ("code", 4))
    return (content, 0) if isinstance(content, str) else content


def _is_plain(column: str, content: str, longest: int) -> str:
    known = _list(accepted_values().get(column, frozenset()) | accepted_values()["any code"])
    if content == "code":
        is_short = f"length({column}) <= {longest} and regexp_full_match({column}, '[A-Z]|[A-Z]*[0-9][A-Z0-9]*')"
        return f"(upper({column}) in ({known}) or {is_short})"
    if content == "codes":
        code = f"([0-9]{{1,{longest}}}|[A-Z]|[A-Z][0-9]{{1,{longest - 1}}}|[0-9]{{1,{longest - 1}}}[A-Z])"
        return f"(upper({column}) in ({known}) or regexp_full_match({column}, '{code}( *[,;|] *{code})*'))"
    plain = f"regexp_full_match(upper({column}), '{_PLAIN[content]}')"
    return f"({_HASH.format(column)}) or {plain}" if content == "child_code" else plain


@dataclass(frozen=True)
class _Share:
    """Rows and different values that have a form, and different values among them that pass its check."""

    rows: int
    values: int
    passed: int

    def __add__(self, other: _Share) -> _Share:
        return _Share(self.rows + other.rows, self.values + other.values, self.passed + other.passed)

    def is_no_chance(self, chance: float, rows: int) -> bool:
        """Whether those that pass are identifiers (module docstring); rows: all rows with a value."""
        limit = 1 + chance * self.values + CHANCE_LIMIT * math.sqrt(chance * (1 - chance) * self.values)
        return self.rows < FOREIGN_SHARE * rows or self.passed > 0.5 * self.values or self.passed > limit


# Forms that digits (and a letter) have by chance: kind, condition of the form, of the check, share that passes.
_BY_CHANCE = (
    ("unique pupil number", "upn <> ''", "upn_passes", 1 / 23),
    ("NHS number", "ten <> ''", "nhs_passes", 1 / 11),
    ("unique learner number", "ten <> ''", "uln_passes", 1 / 11),
    # Forty years of 365 days, written in two ways, of a hundred million.
    ("full date of birth", "eight", "eight_passes", 1 / 3000),
)


def _shares(con: duckdb.DuckDBPyConnection, view: str) -> dict[str, _Share]:
    counts = ", ".join(
        f"coalesce(sum(n) filter ({form}), 0), count(*) filter ({form}), count(*) filter ({passes})"
        for _, form, passes, _ in _BY_CHANCE
    )
    values = _counts(con, f"select {counts} from {view}")
    return {kind: _Share(*values[3 * i : 3 * i + 3]) for i, (kind, *_) in enumerate(_BY_CHANCE)}


def _judged(column: str, content: str, longest: int, rows: int, shares: dict[str, _Share]) -> str:
    """Add to ``judged`` (value, n, kind) from ``numbers``."""
    certain = [f"when {condition} then '{kind}'" for kind, condition in _CERTAIN]
    if content == "child_code":
        rules = [*certain, *_by_share(rows, shares), *_written_birth(), *_from_name(rows)]
    elif content == "label":
        rare = f"{rows} >= {LABEL_ROWS} and n < {LABEL_REPEATS}"
        is_name = r"regexp_full_match(value, '[\p{Lu}][\p{L}''’-]*([ ,._]+[\p{L}][\p{L}''’.-]*){0,4}')"
        rules = [
            *certain,
            "when upn <> '' then 'unique pupil number'",
            "when nhs_passes then 'NHS number'",
            "when uln_passes then 'unique learner number'",
            "when regexp_matches(u, '(^|[^0-9])[0-9]{9}($|[^0-9])') then 'passport number'",
            f"when ({rare}) and ({_BIRTH} or {_EIGHT}) then 'full date of birth'",
            f"when {_ADDRESS} then 'street address'",
            f"when ({rare}) and ({_REFERENCE}) then 'reference made from a name'",
            f"when ({rare}) and {is_name} then 'name of a person'",
        ]
    else:
        rules = [
            f"when {_is_accepted(column, content, longest)} then null",
            *certain,
            "when upn <> '' then 'unique pupil number'",
            "when nhs_passes then 'NHS number'",
            "when uln_passes then 'unique learner number'",
            *_written_birth(),
            f"when {_EIGHT} then 'full date of birth'",
            "when regexp_full_match(squeezed, '[0-9]{9}') then 'passport number'",
            "when regexp_matches(u, '[0-9]') and word <> '' then 'reference made from a name'",
            f"when {_WORDS_ONLY} then 'name of a person'",
            f"else '{NO_CODE}'",
        ]
        if content == "figure":
            # A figure of eight digits is one unless it stands alone as a date among smaller ones.
            is_date = "eight_passes" if shares["full date of birth"].is_no_chance(1 / 3000, rows) else "false"
            rules = [rf"when regexp_full_match(u, '[0-9]{{8}}(\.[0-9]*)?') and not {is_date} then null", *rules]
        if content == "la_code":
            rules[-2] = f"when {_WORDS_ONLY} then '{NO_CODE}'"
    return (
        f"insert into judged select * from (select value, n, case {' '.join(rules)} end as kind from numbers) "
        "where kind is not null"
    )


def _judged_digits(rows: int, shares: dict[str, _Share]) -> str:
    """Add to ``judged`` what :func:`_judged` says of a child code of nothing but digits, from ``digits``."""
    rules = [f"when length(value) > 10 and {condition} then '{kind}'" for kind, condition in _CERTAIN_OF_DIGITS]
    rules += _by_share(rows, shares) or ["when false then null"]
    return (
        f"insert into judged select * from (select value, n, case {' '.join(rules)} end as kind from digits) "
        "where kind is not null"
    )


def _digits() -> str:
    """Create ``digits``, what :func:`_numbers` says of values of nothing but digits, without looking for more."""
    return (
        "create or replace temp view digits as "
        "with told as (select value, n, value as u, '' as upn, false as upn_passes, length(value) = 8 as eight, "
        "case when length(value) = 10 then value else '' end as ten from suspects where is_digits"
        f"), sums as (select *, case when ten <> '' then {_ten_sum()} end as ten_left from told) "
        "select *, coalesce(ten_left = 0, false) as nhs_passes, coalesce(ten_left = 10, false) as uln_passes, "
        f"eight and {_EIGHT} as eight_passes from sums"
    )


def _numbers(some: str) -> str:
    """Create ``numbers`` from some ``suspects``: spellings of the value, the numbers in it, whether checks pass."""
    squeezed = "regexp_replace(upper(value), '[ ().-]', '', 'g')"
    return (
        "create or replace temp view numbers as "
        f"with spelt as (select value, n, upper(value) as u, {squeezed} as squeezed from suspects where {some}"
        "), cut as ("
        rf"select *, regexp_extract(u, '(^[A-Z]{{1,2}}|{_START})([0-9]{{10}}){_END}', 3) as ten_bare, "
        rf"regexp_extract(u, '{_START}([0-9]{{3}}[ -][0-9]{{3}}[ -][0-9]{{4}}){_END}', 2) as ten_spaced, "
        rf"regexp_extract(u, '{_START}([{_UPN_LETTERS}][0-9]{{11}}[0-9{_UPN_LETTERS}]){_END}', 2) as upn from spelt"
        "), ten_digits as ("
        "select *, ten_spaced <> '' as ten_is_spaced, "
        "case when ten_spaced <> '' then regexp_replace(ten_spaced, '[ -]', '', 'g') else ten_bare end as ten from cut"
        "), sums as ("
        f"select *, case when ten <> '' then {_ten_sum()} end as ten_left, case when upn <> '' then {_upn_check()} end "
        f"as upn_letter, regexp_full_match(u, '[0-9]{{8}}') as eight, {_EIGHT} as eight_passes from ten_digits"
        "), words as ("
        "select *, coalesce(ten_left = 0, false) as nhs_passes, coalesce(ten_left = 10, false) as uln_passes, "
        "coalesce(upn_letter = upn[1], false) as upn_passes, "
        r"regexp_extract(u, '[\p{L}]{3,}') as word from sums"
        "), per_word as (select word, sum(n) as word_rows from words group by word) "
        "select words.*, word_rows from words inner join per_word on per_word.word = words.word"
    )


def _by_share(rows: int, shares: dict[str, _Share]) -> list[str]:
    """Digits that pass a check: identifiers unless they do so at the rate of chance."""
    out = []
    if shares["unique pupil number"].rows < FOREIGN_SHARE * rows:
        # No other code has a letter and twelve more characters; the LA's own number may have a wrong check letter.
        out.append("when upn <> '' then 'unique pupil number'")
    out += [
        f"when {passes} then '{kind}'"
        for kind, _, passes, chance in _BY_CHANCE
        if shares[kind].is_no_chance(chance, rows)
    ]
    return out


def _written_birth() -> list[str]:
    return [f"when {_BIRTH} then 'full date of birth'", f"when {_ADDRESS} then 'street address'"]


def _from_name(rows: int) -> list[str]:
    names = _list(common_names())
    is_rare = f"{rows} >= {PREFIX_ROWS} and word_rows < {PREFIX_SHARE} * {rows}"
    return [
        f"when regexp_matches(u, '[0-9]') and word in ({names}) then 'reference made from a name'",
        f"when ({is_rare}) and ({_REFERENCE}) then 'reference made from a name'",
        f"when {_WORDS_ONLY} and (word in ({names}) or ({rows} >= {PREFIX_ROWS} and "
        r"regexp_matches(u, '\p{L}{4,}')) "
        r"or regexp_matches(u, '[\p{L}]{2,}[ ,]+[\p{L}]{2,}') or regexp_full_match(value, '[\p{Lu}][\p{Ll}]{3,}')) "
        "then 'name of a person'",
    ]


def _is_accepted(column: str, content: str, longest: int) -> str:
    known = _list(accepted_values().get(column, frozenset()) | accepted_values()["any code"])
    spelt = r"regexp_replace(regexp_replace(u, '^[A-Z]\) *', ''), '\.0+$', '')"
    if content == "code":
        return (
            f"({spelt} in ({known}) or (regexp_full_match({spelt}, '[A-Z0-9]{{1,{longest}}}') "
            rf"and u not in ({_list(common_names())}) and not regexp_full_match(value, '[A-Z][a-z]{{2,}}')))"
        )
    if content == "codes":
        codes = f"regexp_split_to_array({spelt}, ' *[,;|] *')"
        return (
            f"({spelt} in ({known}) or len(list_filter({codes}, lambda c: not (c in ({known}) or "
            f"(regexp_full_match(c, '[A-Z0-9]{{0,{longest}}}') and c not in ({_list(common_names())}))))) = 0)"
        )
    return f"u in ({_list(accepted_values().get(column, frozenset()))})"


def _ten_sum() -> str:
    terms = " + ".join(f"{11 - i} * cast(ten[{i}] as integer)" for i in range(1, 11))
    return f"({terms}) % 11"


def _upn_check() -> str:
    """The letter that the other twelve characters of a UPN ask for; a temporary one ends in a letter."""
    terms = " + ".join(f"{i} * cast(upn[{i}] as integer)" for i in range(2, 13))
    letter = f"strpos('{_UPN_LETTERS}', upn[13]) - 1"
    last = f"case when upn[13] between '0' and '9' then cast(upn[13] as integer) else {letter} end"
    return f"substr('{_UPN_LETTERS}', 1 + cast(({terms} + 13 * ({last})) % 23 as integer), 1)"


def _list(values: frozenset[str]) -> str:
    return ", ".join("'" + value.replace("'", "''") + "'" for value in sorted(values)) or "null"


def _counts(con: duckdb.DuckDBPyConnection, query: str) -> list[int]:
    return [int(value) for value in con.execute(query).fetchone() or ()]


def _one(con: duckdb.DuckDBPyConnection, query: str) -> int:
    row = con.execute(query).fetchone()
    return int(row[0]) if row else 0
