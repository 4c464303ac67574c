"""Identifiers by value: fourteen kinds planted everywhere, none lands; clean data passes (DP.1, T5)."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from conftest import ROOT
from sfpc.errors import InputError
from sfpc.landing import identifiers
from sfpc.landing.gate import Gate
from sfpc.landing.identifiers import CONTENT, KINDS, NO_CODE, screen
from sfpc.landing.layout import TABLES, Table
from sfpc.landing.returns import land_returns
from sfpc.returns import synthetic_returns
from sfpc.settings import Paths

EACH = 36
CLEAN_ROWS = 400
LETTERS = "ABCDEFGHJKLMNPQRTUVWXYZ"
FALSE_ALARM_PCT = 0.5


# The checks are written a second time here, from the published rules, without sight of the SQL.


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(count))


def weighted(text: str) -> int:
    return sum(int(digit) * weight for digit, weight in zip(text, range(10, 1, -1), strict=True))


def nhs_number(rng: random.Random) -> str:
    while True:
        body = digits(rng, 9)
        check = (11 - weighted(body) % 11) % 11
        if check < 10:
            number = f"{body}{check}"
            return rng.choice((number, f"{number[:3]} {number[3:6]} {number[6:]}"))


def learner_number(rng: random.Random) -> str:
    while True:
        body = str(rng.randint(1, 9)) + digits(rng, 8)
        rest = weighted(body) % 11
        if rest:
            return f"{body}{10 - rest}"


def pupil_number(rng: random.Random) -> str:
    last = rng.choice(string.digits + LETTERS)
    body = digits(rng, 11)
    values = [*map(int, body), int(last) if last.isdigit() else LETTERS.index(last)]
    total = sum(value * weight for value, weight in zip(values, range(2, 14), strict=True))
    number = f"{LETTERS[total % 23]}{body}{last}"
    return rng.choice((number, number.lower()))


def name_part(rng: random.Random) -> str:
    syllables = ("bran", "kel", "mor", "tha", "vi", "dor", "lis", "wen", "gar", "pel", "ros", "tun", "ek", "ami")
    return "".join(rng.choice(syllables) for _ in range(rng.randint(2, 3))).capitalize() + rng.choice(("n", "d", "ley"))


def person(rng: random.Random) -> str:
    first, last = name_part(rng), name_part(rng)
    return rng.choice((f"{first} {last}", f"{last}, {first}", f"{first} {last}".upper(), f"{first} O'{last}", last))


def reference(rng: random.Random) -> str:
    last = name_part(rng)
    number = rng.randint(10, 9999)
    return rng.choice((f"{last.upper()}{number}", f"{last}_{rng.choice(LETTERS)}_{number}", f"{last}/{number}"))


def postcode(rng: random.Random) -> str:
    area = rng.choice(("LS", "CV", "NE", "B", "SW", "M", "DL", "PR"))
    inward = f"{rng.randint(0, 9)}{rng.choice('ABDEFGHJLN')}{rng.choice('PQRSTUWXYZ')}"
    return f"{area}{rng.randint(1, 29)}{rng.choice(('', ' '))}{inward}"


def birth(rng: random.Random) -> str:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1998, 2024)
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return rng.choice(
        (
            f"{year}-{month:02}-{day:02}",
            f"{day:02}/{month:02}/{year}",
            f"{day} {months[month - 1]} {year}",
            f"{day:02}{month:02}{year}",
            f"{year}{month:02}{day:02}",
            f"{year}-{month:02}-{day:02} 00:00:00",
        )
    )


def address(rng: random.Random) -> str:
    street = f"{rng.randint(1, 240)} {name_part(rng)} {rng.choice(('Street', 'Road', 'Lane', 'Close', 'Avenue'))}"
    return rng.choice((street, f"Flat {rng.randint(1, 40)}, {street}"))


def passport(rng: random.Random) -> str:
    number = digits(rng, 9)
    return rng.choice((f"{number}GBR", f"Passport {number}", f"{number}4GBR{digits(rng, 6)}", f"P<GBR{number}"))


def national_insurance(rng: random.Random) -> str:
    pair = rng.choice("ABCEHJKLMPRSWXY") + rng.choice("ACEHJLMPRSWXY")
    number = digits(rng, 6)
    return pair + rng.choice((number, f" {number[:2]} {number[2:4]} {number[4:]} ")) + rng.choice("ABCD")


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "e-mail address": lambda r: f"{name_part(r).lower()}.{name_part(r).lower()}@example.org",
    "web or social media address": lambda r: r.choice(
        (
            f"https://example.org/{name_part(r)}",
            f"www.{name_part(r).lower()}.co.uk",
            f"@{name_part(r).lower()}_{r.randint(1, 99)}",
        )
    ),
    "National Insurance number": national_insurance,
    "passport number": passport,
    "mobile number": lambda r: r.choice(("07", "+44 7", "00447")) + f"{digits(r, 3)} {digits(r, 6)}",
    "telephone number": lambda r: r.choice(("0191 ", "(0113) ", "+44 121 ")) + f"{digits(r, 3)} {digits(r, 4)}",
    "postcode": postcode,
    "unique pupil number": pupil_number,
    "NHS number": nhs_number,
    "unique learner number": learner_number,
    "full date of birth": birth,
    "street address": address,
    "reference made from a name": reference,
    "name of a person": person,
}

CLEAN = {
    "la_code": "306",
    "ons_code": "E09000008",
    "ethnicity": "WBRI",
    "disability": "HEAR,VIS",
    "gender": "2",
    "referral_source": "1A",
    "primary_need": "N1",
    "closure_reason": "RC8",
    "cpp_initial_category": "NEG",
    "assessment_factors": "1A,18B,20",
    "reason_for_new_episode": "S",
    "legal_status": "V2",
    "category_of_need": "N8",
    "placement": "U6",
    "reason_episode_ceased": "E4A",
    "nc_year": "11",
    "status": "erased",
    "value": "12.5",
    "time_period": "202021",
    "published_table": "c6",
    "breakdown": "Children in Need",
    "measure": "Referrals",
    "landing_table": "cin_records",
}


def clean_row(table: Table, number: int) -> dict[str, str]:
    row = {}
    for column in table.columns:
        if column.type == "DATE":
            row[column.name] = "2020-05-01"
        elif column.type == "INTEGER":
            row[column.name] = {"return_year": "2021", "census_year": "2021", "school_year": "2021"}.get(
                column.name, "7"
            )
        else:
            row[column.name] = CLEAN.get(column.name, "1")
    for column_name, value in (("la_child_id", f"{100_000 + number}"), ("pupil_id", f"{number:015}A")):
        if column_name in row:
            row[column_name] = value
    if "reference_date" in row:
        row["la_code"] = str(200 + number % 700)
    return row


def land_frame(folder: Path, table: str, rows: list[dict[str, str]]) -> tuple[pd.Series, pd.DataFrame]:
    file = folder / "in" / "given.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"stands for {len(rows)} rows of {table}", encoding="utf-8")
    frame = pd.DataFrame(rows, dtype=str)
    frame["source_row"] = range(2, len(frame) + 2)
    with Gate(folder / "landing", "returns", base=file.parent, accepts_quarantine=True) as gate:
        gate.add_rows(table, file, frame, "iso")
        account = gate.commit()
        return account.iloc[0], gate.quarantine()


def everything_written(folder: Path) -> str:
    """Every value of every column of every file below a folder, and the bytes of what is not Parquet, as one text."""
    texts = []
    con = duckdb.connect()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix == ".parquet":
            for column in [d[0] for d in con.execute(f"describe select * from '{path}'").fetchall()]:
                values = con.execute(f"select distinct cast(\"{column}\" as varchar) from '{path}'").fetchall()
                texts += [str(v[0]) for v in values]
            # Statistics in the footer are not compressed.
            texts.append(path.read_bytes().decode("latin-1"))
        else:
            texts.append(path.read_text(encoding="utf-8"))
    con.close()
    return "\n".join(texts).upper()


def test_the_kinds_are_the_fourteen_that_are_planted() -> None:
    assert list(MAKERS) == list(KINDS)
    assert len(KINDS) == 14


def test_every_text_column_of_the_landing_says_what_belongs_in_it() -> None:
    columns = {c.name for t in TABLES.values() for c in t.columns if c.type == "VARCHAR"}
    assert columns <= set(CONTENT), columns - set(CONTENT)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_no_planted_identifier_lands(tmp_path: Path, name: str) -> None:
    """504 identifiers of 14 kinds in every text column of every table: each row is set aside, none is in any file."""
    table = TABLES[name]
    rng = random.Random(f"plant {name}")
    text = [c.name for c in table.columns if c.type == "VARCHAR"]
    planted: list[tuple[str, str, str]] = [
        (column, kind, make(rng)) for column in text for kind, make in MAKERS.items() for _ in range(EACH)
    ]
    assert len(planted) == 504 * len(text)
    clean = [clean_row(table, number) for number in range(max(CLEAN_ROWS, len(planted)))]
    rows = [{**clean_row(table, 500_000 + i), column: value} for i, (column, _, value) in enumerate(planted)]
    account, aside = land_frame(tmp_path, name, [*clean, *rows])
    by_row = aside.set_index("source_row")
    slipped = [planted[i] for i in range(len(planted)) if len(clean) + 2 + i not in by_row.index]
    assert not slipped, slipped[:10]
    assert account["quarantined"] == len(planted)
    assert account["landed"] + account["duplicate"] == len(clean)
    for i, (column, kind, value) in enumerate(planted):
        found = by_row.loc[len(clean) + 2 + i]
        assert found["column_name"] == column, (column, kind, value)
        assert found["rule"] in ("identifier", "code-form"), (column, kind, value)
    told = by_row.loc[len(clean) + 2 :, "value_class"]
    named = sum(a == kind for a, (_, kind, _) in zip(told, planted, strict=True)) / len(planted)
    assert named > 0.85, f"only {named:.0%} of the kinds were named rightly"
    written = everything_written(tmp_path / "landing")
    leaked = [(column, kind, value) for column, kind, value in planted if value.upper() in written]
    assert not leaked, leaked[:5]


@pytest.mark.parametrize("name", ["cin_records", "npd_pupils", "cla_children"])
def test_identifiers_in_number_and_date_columns_do_not_land_either(tmp_path: Path, name: str) -> None:
    table = TABLES[name]
    rng = random.Random(f"numbers {name}")
    planted = [
        (column.name, kind, make(rng))
        for column in table.columns
        if column.type in ("INTEGER", "DATE")
        for kind, make in MAKERS.items()
        if column.type == "INTEGER" or kind != "full date of birth"
        for _ in range(6)
    ]
    clean = [clean_row(table, number) for number in range(2 * len(planted))]
    rows = [{**clean_row(table, 500_000 + i), column: value} for i, (column, _, value) in enumerate(planted)]
    account, aside = land_frame(tmp_path, name, [*clean, *rows])
    assert account["quarantined"] == len(planted)
    births = aside[aside["rule"] == "identifier"]
    assert set(births["column_name"]) <= {"birth_year", "birth_month"}
    if "birth_year" in table.names:
        assert len(births) == 12
    written = everything_written(tmp_path / "landing")
    assert not [p for p in planted if p[2].upper() in written]


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_full_of_them_refuses_the_file(tmp_path: Path, kind: str) -> None:
    rng = random.Random(f"throughout {kind}")
    rows = [{**clean_row(TABLES["cla_children"], i), "la_child_id": MAKERS[kind](rng)} for i in range(60)]
    with pytest.raises(InputError, match=r"given\.csv, column la_child_id: \d+ of 60 values have the form of a"):
        land_frame(tmp_path, "cla_children", rows)
    assert not (tmp_path / "landing").exists()


def test_full_birth_dates_in_a_birth_field_refuse_the_file(tmp_path: Path) -> None:
    rows = [{**clean_row(TABLES["npd_pupils"], i)} for i in range(30)]
    assert "birth_year" not in rows[0]
    rows = [{**clean_row(TABLES["cin_records"], i), "birth_year": f"2011-05-{1 + i % 28:02}"} for i in range(30)]
    with pytest.raises(InputError, match="column birth_year: 30 of 30 values have the form of a full date of birth"):
        land_frame(tmp_path, "cin_records", rows)


def found_in(values: list[str], column: str = "la_child_id") -> dict[str, str]:
    con = duckdb.connect()
    con.register("given", pd.DataFrame({column: values}, dtype=str))
    con.execute("create table checked as select * from given")
    screen(con, "checked", [column])
    out = dict(con.execute("select value, kind from identifying").fetchall())
    con.close()
    return out


def test_ten_digit_child_codes_are_judged_by_their_share() -> None:
    """One in eleven ten-digit numbers passes the check of an NHS number: chance is no identifier."""
    rng = random.Random(3)
    by_chance = [str(rng.randint(1_000_000_000, 9_999_999_999)) for _ in range(5_000)]
    passing = [v for v in by_chance if (weighted(v[:9]) + int(v[9])) % 11 == 0]
    assert 350 < len(passing) < 560
    assert found_in(by_chance) == {}
    numbers = [nhs_number(rng).replace(" ", "") for _ in range(500)]
    assert set(found_in(numbers).values()) == {"NHS number"}
    mixed = found_in([*by_chance, *numbers])
    assert set(numbers) <= set(mixed), "a tenth of NHS numbers among other codes of ten digits shows"
    six = [str(100_000 + i) for i in range(5_000)]
    assert found_in([*six, *numbers[:20]]).keys() == set(numbers[:20]), "their form is foreign to the column"


def test_digits_alone_are_judged_as_any_child_code_is() -> None:
    """They take a short way (there may be one for every child); what it says is what all the rules say."""
    rng = random.Random(5)
    telephones = [
        prefix + digits(rng, 9) for prefix in ("07", "447", "00447", "01", "0044020", "443") for _ in range(40)
    ]
    others = [digits(rng, rng.randint(6, 15)) for _ in range(1_500)]
    births = [f"{1 + i % 28:02}{1 + i % 12:02}{2000 + i % 20}" for i in range(60)]
    words = ["SMITH123", "A1234567890123", "C0012345678"]
    for values in ([*others, *telephones, *births, *words], [*others, *words], telephones, births):
        con = duckdb.connect()
        con.execute("create table checked (la_child_id varchar)")
        con.executemany("insert into checked values (?)", [[value] for value in values])
        con.execute("create table suspects as select la_child_id as value, count(*) as n from checked group by 1")
        con.execute("delete from suspects where regexp_full_match(value, '[0-9]{1,7}|[0-9]{9}')")
        con.execute("create temp table judged (value varchar, n bigint, kind varchar)")
        con.execute(identifiers._numbers("true"))
        shares = identifiers._shares(con, "numbers")
        con.execute(identifiers._judged("la_child_id", "child_code", 0, len(values), shares))
        expected = dict(con.execute("select value, kind from judged").fetchall())
        con.close()
        assert expected
        assert found_in(values) == expected


def test_nine_digits_cannot_be_told_apart() -> None:
    """A passport number and an NHS number without its last digit look like a child code; with it the check tells."""
    rng = random.Random(6)
    numbers = [nhs_number(rng).replace(" ", "") for _ in range(300)]
    assert found_in([number[:9] for number in numbers]) == {}
    assert found_in(numbers) == dict.fromkeys(numbers, "NHS number")


def test_eight_digit_child_codes_are_judged_by_their_share() -> None:
    rng = random.Random(4)
    codes = [str(rng.randint(30_000_000, 99_999_999)) for _ in range(3_000)]
    assert found_in(codes) == {}
    dates = [f"{2000 + i % 20}{1 + i % 12:02}{1 + i % 28:02}" for i in range(420)]
    assert set(found_in(dates)) == set(dates)


@pytest.mark.parametrize(
    "codes",
    [
        [f"CASE{i:05}" for i in range(200)],
        [f"RND{i:012}" for i in range(200)],
        [f"DfEX{i:07}" for i in range(200)],
        [f"{i:04}-{i % 7}" for i in range(200)],
        [f"{i}.0" for i in range(200)],
        [f"{0x1234567890ABCDEF * (i + 1) % 2**128:032X}" for i in range(200)],
    ],
)
def test_child_codes_of_real_systems_land(codes: list[str]) -> None:
    assert found_in(codes) == {}


def test_a_child_code_made_from_a_name_does_not_land() -> None:
    """SMITH123: a common name, or letters that hardly any other code of the file has, before digits."""
    others = [f"CASE{i:05}" for i in range(200)]
    assert found_in(["SMITH123"]) == {"SMITH123": "reference made from a name"}
    assert found_in([*others, "BRANKELLEY77"]) == {"BRANKELLEY77": "reference made from a name"}
    assert found_in(["Anna", "child one", "A1", "b"]).keys() == {"Anna", "child one"}


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("ethnicity", "White British", None),
        ("ethnicity", "WBRI ", None),
        ("ethnicity", "a) WBRI", None),
        ("ethnicity", "ZZZZ", None),
        ("ethnicity", "ANNA", "name of a person"),
        ("ethnicity", "Half Dorian", "name of a person"),
        ("primary_need", "UnmappedNeedCode", None),
        ("primary_need", "N1", None),
        ("primary_need", "N123456", NO_CODE),
        ("disability", "VIS,NONE,MOB", None),
        ("disability", "VIS,Kelvora Brant", "name of a person"),
        ("referral_nfa", "true", None),
        ("referral_nfa", "#MULTIVALUE", None),
        ("gender", "1.0", None),
        ("reason_episode_ceased", "-10", None),
        ("la_code", "306.0", None),
        ("la_code", "Newtown", NO_CODE),
        ("value", "1,234.5", None),
        ("value", "c", None),
        ("value", "12183016", None),
        ("value", "943476591", "passport number"),
        ("time_period", "2017/18", None),
        ("time_period", "2011-05-27", "full date of birth"),
        ("breakdown", "Children looked after on 31 March each year", None),
        ("measure", "pupils_fsm_pct", None),
    ],
)
def test_what_belongs_in_a_code_or_a_figure(column: str, value: str, kind: str | None) -> None:
    assert found_in([value.strip()], column).get(value.strip()) == kind


def test_clean_national_extracts_raise_no_alarm(synthetic: Paths) -> None:
    check_alarms(synthetic.landing, "national extracts")


def test_clean_returns_raise_no_alarm(tmp_path: Path) -> None:
    source = synthetic_returns(Paths(ROOT, tmp_path / "data", tmp_path / "out"), tmp_path / "made")
    with Gate(tmp_path / "landing", "returns", base=source) as gate:
        land_returns(source, gate, b"k" * 32, progress=lambda _: None)
        gate.commit()
    check_alarms(tmp_path / "landing", "returns")


def check_alarms(landing: Path, what: str) -> None:
    raw = pd.read_csv(landing / "reconciliation.csv")["raw"].sum()
    aside = pd.read_csv(landing / "quarantine.csv")
    alarms = int(aside["rule"].isin(["identifier", "code-form"]).sum())
    print(f"false alarms on clean {what}: {alarms} of {raw:,} rows ({100 * alarms / raw:.3f} %)")
    assert raw > 5_000
    assert 100 * alarms <= FALSE_ALARM_PCT * raw


def test_names_and_accepted_values_are_upper_case_and_told_apart() -> None:
    accepted = identifiers.accepted_values()
    assert all(v == v.upper() for values in accepted.values() for v in values)
    for column in ("ethnicity", "disability", "cpp_initial_category"):
        assert not accepted[column] & identifiers.common_names(), "a code is not taken for a name"
