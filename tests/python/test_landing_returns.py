"""Statutory returns: every rule of the readers on small files written by hand."""

from __future__ import annotations

import hashlib
import hmac
import stat
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from sfpc.errors import InputError, SfpcError
from sfpc.landing.gate import Gate
from sfpc.landing.layout import CLA_CHILDREN, CLA_EPISODES
from sfpc.landing.pseudonym import (
    NOT_A_DATE,
    birth_month,
    is_identifying,
    load_key,
    pupil_pseudonym,
)
from sfpc.landing.returns import LA_NOT_STATED, discover, land_returns, year_of
from sfpc.landing.ssda903 import FILES, identify, read_children, read_episodes, read_uasc

KEY = b"k" * 32
UPN = "A123456789012"

HEADER = """<Header><CollectionDetails><Collection>CIN</Collection><Year>2023</Year>
<ReferenceDate>{date}</ReferenceDate></CollectionDetails>
<Source><SourceLevel>L</SourceLevel><LEA>{la}</LEA></Source></Header>"""
IDENTIFIERS = (
    "<ChildIdentifiers><LAchildID>C1</LAchildID><PersonBirthDate>2011-05-27</PersonBirthDate>"
    "<GenderCurrent>2</GenderCurrent></ChildIdentifiers>"
)
REFERRAL = "<CINdetails><CINreferralDate>2022-06-01</CINreferralDate></CINdetails>"


class FakeGate:
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, Path, pd.DataFrame, str]] = []
        self.empty: list[tuple[str, str]] = []
        self.ignored: dict[str, str] = {}

    def add_rows(self, table: str, file: Path, rows: pd.DataFrame, date_format: str) -> None:
        self.frames.append((table, file, rows, date_format))

    def add_empty(self, table: str, file: Path) -> None:
        self.empty.append((table, file.name))

    def note_ignored(self, file: Path, reason: str) -> None:
        self.ignored[file.name] = reason

    def table(self, name: str) -> pd.DataFrame:
        return pd.concat([rows for table, _, rows, _ in self.frames if table == name])


class GateOfParts(FakeGate):
    """Also has a place for what is taken out of archives."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def scratch(self) -> Path:
        return self._folder / "scratch"

    def name_part(self, part: Path, container: Path, name: str) -> None:
        pass


def quiet(_: str) -> None:
    pass


def message(*children: str, header: str | None = "", la: str = "331") -> str:
    if header == "":
        header = HEADER.format(date="2023-03-31", la=la)
    body = "".join(f"<Child>{child}</Child>" for child in children)
    return f"<Message>{header or ''}<Children>{body}</Children></Message>"


def cin_file(tmp_path: Path, text: str, name: str = "cin.xml", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


def cells(frame: pd.DataFrame) -> str:
    return "\n".join(str(value) for value in frame.to_numpy().ravel())


def csv_file(tmp_path: Path, name: str, *lines: str, encoding: str = "utf-8", end: str = "\n") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode(encoding))
    return path


EPISODES = ",".join(FILES["Episodes"])
CHILDREN = ",".join(FILES["Header"])
UASC = ",".join(FILES["UASC"])
EPISODE = "00123,01/07/2019,S,C2,N1,U1,PR1,,,,AB1 2CD,EF3 4GH,SC123456"


# SSDA903


@pytest.mark.parametrize("kind", sorted(FILES))
def test_files_are_known_by_their_header(tmp_path: Path, kind: str) -> None:
    columns = list(FILES[kind])
    for names in (columns, columns[::-1], [f" {name.lower()} " for name in columns]):
        assert identify(csv_file(tmp_path, "any name.csv", ",".join(names))).kind == kind


def test_columns_more_or_less(tmp_path: Path) -> None:
    fewer = identify(csv_file(tmp_path, "a.csv", "CHILD,DECOM,RNE,LS,CIN,PLACE,DEC,REC,NEW_ITEM,"))
    assert (fewer.kind, fewer.not_loaded) == ("Episodes", ("NEW_ITEM",))
    short = identify(csv_file(tmp_path, "b.csv", EPISODES.replace("DECOM", "DECOMM")))
    assert short.kind is None
    assert short.reason == "not the header of an SSDA903 file; nearest is Episodes, without DECOM"
    assert identify(csv_file(tmp_path, "c.csv", "a,b", "1,2")).reason == "not the header of an SSDA903 file"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, end: str) -> None:
    path = csv_file(tmp_path, "x.csv", CHILDREN, "é’1,1,27/05/2009,WBRI,UN1,,", encoding=encoding, end=end)
    frame = pd.concat(read_children(path, "331", 2019, KEY, set()))
    assert frame["la_child_id"].tolist() == ["é’1"]
    assert frame["source_row"].tolist() == [2]


def test_episodes_text_as_it_stands(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path,
        "x.csv",
        "Return of the authority,,,,,,,,,,,,",
        EPISODES,
        EPISODE,
        "",
        ",,,,,,,,,,,,",
        ' "Ab_1.0",31/02/2019,"P ",V4,N1,U1,PR1,05/08/2019,X1,,,,,',
    )
    frame = pd.concat(read_episodes(path, "331", 2019))
    assert list(frame.columns) == [*CLA_EPISODES.names, "source_row"]
    assert all(frame[name].dtype == "str" for name in CLA_EPISODES.names)
    assert frame.astype(object).where(frame.notna(), None).to_numpy().tolist() == [
        ["2019", "331", "00123", "01/07/2019", "S", "C2", "N1", "U1", None, None, None, 3],
        ["2019", "331", '"Ab_1.0"', "31/02/2019", "P", "V4", "N1", "U1", "05/08/2019", "X1", None, 6],
    ]
    for secret in ("AB1 2CD", "EF3 4GH", "SC123456"):
        assert secret not in cells(frame)


def test_children_and_uasc(tmp_path: Path) -> None:
    uasc = csv_file(tmp_path, "u.csv", UASC, "02,1,28/02/2005,01/01/2020", ",,,")
    path = csv_file(
        tmp_path,
        "h.csv",
        CHILDREN,
        f"01,1,27/05/2009,WBRI,{UPN},1,27/06/2019",
        "02,2,28/02/2005,AOTH,un4,,",
        "2,2,,,,,",
        "03,2,2005-02-28,AOTH,,,",
    )
    assert read_uasc(uasc, "331", 2019) == {("2019", "331", "02")}
    frame = pd.concat(read_children(path, "331", 2019, KEY, read_uasc(uasc, "331", 2019)))
    assert list(frame.columns) == [*CLA_CHILDREN.names, "source_row"]
    pupil = pupil_pseudonym(UPN, KEY)
    assert frame.astype(object).where(frame.notna(), None).to_numpy().tolist() == [
        ["2019", "331", "01", pupil, "2009", "5", "1", "WBRI", "0", 2],
        ["2019", "331", "02", None, "2005", "2", "2", "AOTH", "1", 3],
        ["2019", "331", "2", None, None, None, "2", None, "0", 4],
        ["2019", "331", "03", None, NOT_A_DATE, None, "2", "AOTH", "0", 5],
    ]
    text = cells(frame.drop(columns="pupil_id"))
    assert "27" not in text and "28" not in text and UPN not in cells(frame)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("00124,01/07/2019,S", r"row 3: expected 13 values as in the header, found 3"),
        (EPISODE + ",x", r"row 3: expected 13 values as in the header, found 14"),
        ('"00124' + EPISODE[5:], r"row 3: not readable as CSV"),
    ],
)
def test_damaged_lines(tmp_path: Path, line: str, problem: str) -> None:
    path = csv_file(tmp_path, "x.csv", EPISODES, EPISODE, line)
    with pytest.raises(InputError, match=problem):
        list(read_episodes(path, "331", 2019))


def test_bytes_that_no_encoding_has(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(f"{EPISODES}\n".encode() + b"\x81" + EPISODE.encode())
    with pytest.raises(InputError, match="row 2: byte 0x81 is neither UTF-8 nor Windows-1252"):
        list(read_episodes(path, "331", 2019))
    path.write_bytes(b"\0" + EPISODES.encode())
    assert identify(path).reason.startswith("not text: zero bytes")


@pytest.mark.parametrize("content", ["", "\n", "\r\n", "\n\n\n\n\n\n\n", "\ufeff\n"])
def test_files_of_one_newline_are_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "2019-ad1.csv"
    path.write_text(content, encoding="utf-8", newline="")
    assert identify(path).is_empty


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ("SURNAME", "identifies a person"),
        ("NHS_Number", "identifies a person"),
        ("DECOM", "more than once"),
    ],
)
def test_columns_that_are_refused(tmp_path: Path, column: str, problem: str) -> None:
    path = csv_file(tmp_path, "x.csv", f"{EPISODES},{column}", EPISODE + ",x")
    with pytest.raises(InputError, match=problem):
        identify(path)


def test_reader_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected an SSDA903 Episodes file, found a Header file"):
        list(read_episodes(csv_file(tmp_path, "x.csv", CHILDREN), "331", 2019))


# A folder of returns


def test_discover_lists_everything(tmp_path: Path) -> None:
    cin_file(tmp_path, message(IDENTIFIERS + REFERRAL), "331/a.XML")
    cin_file(tmp_path, "<SSDA903/>", "331/b.xml")
    cin_file(tmp_path, "", "331/c.xml")
    cin_file(tmp_path, "<School><Name/></School>", "331/d.xml")
    csv_file(tmp_path, "331/deep/down/2019-x.CSV", EPISODES, EPISODE)
    csv_file(tmp_path, "331/2019-oc3.csv", ",".join(FILES["OC3"]))
    csv_file(tmp_path, "331/2019-ad1.csv", "")
    csv_file(tmp_path, "notes.txt", "x")
    found = discover(tmp_path)
    assert [f.path.name for f in found.cin] == ["a.XML"]
    assert [f.path.name for f in found.ssda903] == ["2019-x.CSV"]
    assert [f.path.name for f in found.empty] == ["2019-ad1.csv"]
    reasons = {entry.path.name: entry.reason for entry in found.ignored}
    assert reasons == {
        "2019-oc3.csv": "SSDA903 OC3: not loaded, no purpose (DP.7)",
        "b.xml": "a CIN census starts with the element Message, this file with SSDA903",
        "c.xml": "not readable as XML (no element found: line 1, column 0)",
        "d.xml": "a CIN census starts with the element Message, this file with School",
        "notes.txt": "not the header of an SSDA903 file",
    }
    with pytest.raises(InputError, match="expected a folder"):
        discover(tmp_path / "absent")


def test_land_returns_feeds_the_gate(tmp_path: Path) -> None:
    cin_file(tmp_path, message(IDENTIFIERS + REFERRAL, la="332"), "331/CIN_2023.xml")
    cin_file(tmp_path, message(IDENTIFIERS + REFERRAL, header=None), "333/CIN_2021.xml")
    cin_file(tmp_path, message(), "333/CIN_none.xml")
    folder = "331/ssda903"
    csv_file(tmp_path, f"{folder}/2019-episodes.csv", EPISODES, EPISODE)
    csv_file(tmp_path, f"{folder}/2019-header.csv", CHILDREN, "1,1,27/05/2009,WBRI,,,", "2,1,,,,,")
    csv_file(tmp_path, f"{folder}/2019-uasc.csv", UASC, "2,1,,", "9,1,,")
    csv_file(tmp_path, f"{folder}/2020-header.csv", CHILDREN, "2,1,,,,,")
    csv_file(tmp_path, f"{folder}/2020-episodes.csv", EPISODES)
    csv_file(tmp_path, f"{folder}/2021-episodes.csv", "")
    csv_file(tmp_path, f"{folder}/2021-header.csv", "")
    csv_file(tmp_path, f"{folder}/2021-sw_episodes.csv", "")
    csv_file(tmp_path, f"{folder}/2019-ad1.csv", "")
    lines: list[str] = []
    gate = FakeGate()
    landed = land_returns(tmp_path, gate, KEY, progress=lines.append)
    cin = gate.table("cin_records")
    assert cin[["la_code", "return_year"]].to_numpy().tolist() == [["332", "2023"], ["333", "2021"]]
    assert gate.table("cla_episodes")[["la_code", "return_year"]].to_numpy().tolist() == [["331", "2019"]]
    children = gate.table("cla_children")[["return_year", "la_child_id", "uasc_status"]]
    assert children.to_numpy().tolist() == [["2019", "1", "0"], ["2019", "2", "1"], ["2020", "2", "0"]]
    assert {table: date_format for table, _, _, date_format in gate.frames} == {
        "cin_records": "iso",
        "cla_episodes": "ssda903",
        "cla_children": "ssda903",
    }
    assert sorted(gate.empty) == [
        ("cin_records", "CIN_none.xml"),
        ("cla_children", "2019-uasc.csv"),
        ("cla_children", "2021-header.csv"),
        ("cla_episodes", "2020-episodes.csv"),
        ("cla_episodes", "2021-episodes.csv"),
    ]
    empty = "empty: 0 rows and no header"
    assert gate.ignored == {"2019-ad1.csv": empty, "2021-sw_episodes.csv": empty}
    assert dict(landed.rows) == {"cin_records": 2, "cla_episodes": 1, "cla_children": 3}
    assert landed.uasc_without_header == 1
    assert "HOME_POST" in landed.not_loaded["Episodes"] and "MOTHER" in landed.not_loaded["Header"]
    said = "\n".join(lines)
    for part in (
        "the LA in its Header, 332, counts, not that of its folder, 331",
        "SSDA903 Episodes: columns not loaded (DP.7): HOME_POST",
        "1 SSDA903 Header file without a UASC file beside",
        "4 files not read: empty: 0 rows and no header",
    ):
        assert part in said


def test_a_folder_without_returns(tmp_path: Path) -> None:
    csv_file(tmp_path, "notes.txt", "x")
    with pytest.raises(InputError, match="no CIN census XML and no SSDA903 CSV; 1 file of other kinds"):
        land_returns(tmp_path, FakeGate(), KEY, progress=quiet)


def test_la_of_ssda903_files(tmp_path: Path) -> None:
    def la_codes(la_code: str | None = None) -> tuple[list[str], list[str]]:
        gate, lines = FakeGate(), list[str]()
        land_returns(tmp_path, gate, KEY, la_code, progress=lines.append)
        return gate.table("cla_episodes")["la_code"].tolist(), lines

    csv_file(tmp_path, "x/2019-episodes.csv", EPISODES, EPISODE)
    assert la_codes("335")[0] == ["335"]
    codes, lines = la_codes()
    assert codes == [LA_NOT_STATED]
    assert any("LA not stated" in line for line in lines)
    cin_file(tmp_path, message(IDENTIFIERS + REFERRAL, la="332"), "a.xml")
    assert la_codes("335")[0] == ["332"]
    cin_file(tmp_path, message(IDENTIFIERS + REFERRAL, la="334"), "b.xml")
    assert la_codes("335")[0] == ["335"]
    cin_file(tmp_path, message(IDENTIFIERS + REFERRAL, la="336"), "x/c.xml")
    assert la_codes("335")[0] == ["336"], "a census in the same folder is nearer than those above"
    csv_file(tmp_path, "x/337/y/2019-episodes.csv", EPISODES, EPISODE)
    assert la_codes("335")[0] == ["336", "337"]


@pytest.mark.parametrize(
    ("name", "la"),
    [
        ("331_2019_episodes.csv", "331"),
        ("ssda903 2019 (331).csv", "331"),
        ("SSDA 903-2019.csv", "335"),
        ("2019-v331.csv", "335"),
        ("331-332-2019.csv", "335"),
        ("000_2019.csv", "335"),
    ],
)
def test_la_in_the_name_of_a_file(tmp_path: Path, name: str, la: str) -> None:
    """One code of the register that stands alone; else what was given. In an archive, the archive's name counts too."""
    csv_file(tmp_path / "a", name, EPISODES, EPISODE)
    gate = FakeGate()
    land_returns(tmp_path / "a", gate, KEY, "335", progress=lambda _: None)
    assert gate.table("cla_episodes")["la_code"].tolist() == [la]
    (tmp_path / "b").mkdir()
    with zipfile.ZipFile(tmp_path / "b" / f"{Path(name).stem}.zip", "w") as archive:
        archive.write(tmp_path / "a" / name, "episodes.csv")
    inside = GateOfParts(tmp_path)
    land_returns(tmp_path / "b", inside, KEY, "335", progress=lambda _: None)
    assert inside.table("cla_episodes")["la_code"].tolist() == [la]
    (tmp_path / "a" / "336").mkdir()
    (tmp_path / "a" / name).rename(tmp_path / "a" / "336" / name)
    gate = FakeGate()
    land_returns(tmp_path / "a", gate, KEY, "335", progress=lambda _: None)
    assert gate.table("cla_episodes")["la_code"].tolist() == ["336"], "a folder of its own goes first"


@pytest.mark.parametrize(
    ("name", "year"),
    [
        ("2019-episodes.csv", 2019),
        ("CIN_2023.xml", 2023),
        ("episodes 2018-19.csv", 2019),
        ("episodes_2018_2019.csv", 2019),
        ("201819 header.csv", 2019),
        ("2019-12 header.csv", 2019),
        ("2020/episodes.csv", 2020),
        ("2020/331/ssda903/2021/episodes.csv", 2021),
        ("2020/331/ssda903/episodes.csv", 2020),
        ("2020/id20195/episodes.csv", 2020),
    ],
)
def test_year_from_the_name(tmp_path: Path, name: str, year: int) -> None:
    assert year_of(tmp_path / name, tmp_path) == year


def test_year_that_no_name_tells(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="return year is unknown"):
        year_of(tmp_path / "episodes.csv", tmp_path)
    with pytest.raises(InputError, match="which year is it"):
        year_of(tmp_path / "2019-episodes sent 2021.csv", tmp_path)
    with pytest.raises(InputError, match="return year is unknown"):
        year_of(tmp_path / "2019" / "set" / "episodes.csv", tmp_path / "2019" / "set")


def test_the_real_gate_takes_the_rows(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    bad = IDENTIFIERS.replace("2011-05-27", "27 May 2011")
    cin_file(folder, message(IDENTIFIERS + REFERRAL, bad + REFERRAL, IDENTIFIERS), "a.xml")
    csv_file(folder, "2019-episodes.csv", EPISODES, EPISODE, EPISODE.replace("01/07/2019", "2019-07-01"))
    csv_file(folder, "2019-header.csv", CHILDREN, "1,1,27/05/2009,WBRI,,,")
    with Gate(tmp_path / "landing", "returns") as gate:
        land_returns(folder, gate, KEY, progress=quiet)
        account = gate.commit().set_index("table")
        aside = gate.quarantine()
    assert account.loc["cin_records", ["raw", "landed", "quarantined"]].tolist() == [3, 1, 2]
    assert account.loc["cla_episodes", ["raw", "landed", "quarantined"]].tolist() == [2, 1, 1]
    assert account.loc["cla_children", ["raw", "landed", "quarantined"]].tolist() == [1, 1, 0]
    assert sorted(zip(aside["source_row"], aside["column_name"], strict=True)) == [
        (2, "birth_year"),
        (3, "episode_start_date"),
        (3, "referral_date"),
    ]
    assert "May" not in cells(aside)


# Pseudonyms


@pytest.mark.parametrize(
    "upn", [None, "", "  ", "UN1", "un4", "UN7", "X", UPN[:-1], UPN + "1", "1234567890123", "A12345678901é"]
)
def test_no_pseudonym_without_a_upn(upn: str | None) -> None:
    assert pupil_pseudonym(upn, KEY) is None


def test_pseudonym() -> None:
    pupil = pupil_pseudonym(UPN, KEY)
    assert pupil == hmac.new(KEY, UPN.encode(), hashlib.sha256).hexdigest()[:32]
    assert pupil == pupil_pseudonym(" a123456 789012\n", KEY)
    assert pupil != pupil_pseudonym("A123456789013", KEY)
    assert pupil != pupil_pseudonym(UPN, b"x" * 32)
    assert pupil_pseudonym("A12345678901B", KEY), "a temporary UPN"


def test_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SFPC_PSEUDONYM_KEY", raising=False)
    data = tmp_path / "data"
    key = load_key(data)
    path = data / "pseudonym.key"
    assert len(key) == 64 and load_key(data) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(data.iterdir()) == [path]
    monkeypatch.setenv("SFPC_PSEUDONYM_KEY", path.read_text(encoding="utf-8"))
    assert load_key(tmp_path / "elsewhere") == key
    assert not (tmp_path / "elsewhere").exists()
    monkeypatch.setenv("SFPC_PSEUDONYM_KEY", "short")
    with pytest.raises(SfpcError, match="SFPC_PSEUDONYM_KEY has 5 characters"):
        load_key(data)


def test_birth_month_formats() -> None:
    assert birth_month("01/02/2010", "uk") == ("2010", "2")
    assert birth_month("2010-02-01", "iso") == ("2010", "2")
    assert birth_month(None, "uk") == birth_month(" ", "iso") == (None, None)
    for value, date_format in (
        ("2010-02-01", "uk"),
        ("01/02/2010", "iso"),
        ("31/02/2010", "uk"),
        ("1/2/10", "uk"),
    ):
        assert birth_month(value, date_format) == (NOT_A_DATE, None)


def test_identifying_names() -> None:
    for name in (
        "Surname",
        "FORENAME",
        "child_name",
        "Name",
        "PostCode",
        "home_postcode",
        "NHSNumber",
        "NI_Number",
        "email",
    ):
        assert is_identifying(name), name
    for kind, columns in FILES.items():
        assert not any(is_identifying(name) for name in columns), kind
