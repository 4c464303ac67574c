"""National extracts (flat CSV or Parquet) into the landing tables.

Names differ by supply: the seed ``seeds/sources/national_columns.csv`` lists the accepted names of every
landing column. Upper and lower case, blanks and underscores, the prefix of a table (``cin_``, ``cla_``,
``ab_``, ``ap_``, ``pru_``) and the suffix of a year (``_SPR21``, ``_ab19``) make no difference. Where a
file has several accepted names of a column, the first that holds a value counts.

Files are recognised by name (``EXTRACTS``); published figures lie in a folder of their own
(:mod:`sfpc.landing.published`). Source: docs/raw_data.md C.1.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import duckdb
import pandas as pd

from sfpc.errors import InputError, SfpcError
from sfpc.landing.dates import DATE_FORMATS, date_sql
from sfpc.landing.gate import Gate, sha256_of
from sfpc.landing.la_register import LaRegister
from sfpc.landing.layout import TABLES
from sfpc.landing.pseudonym import is_identifying
from sfpc.landing.published import land_published
from sfpc.landing.readings import (
    DATE_READINGS,
    MONTH_ONLY,
    YEAR_SUFFIX,
    AcceptedName,
    Given,
    accepted_names,
    bare,
    la_code_of,
    matching,
    reading_of,
    text_of,
)
from sfpc.landing.text import as_utf8, find_header
from sfpc.progress import say
from sfpc.settings import project_root

PUBLISHED_FOLDER = "published"


@dataclass(frozen=True)
class Extract:
    """A kind of file: how its name begins and which landing tables it fills.

    names: kind whose accepted names it has, where not its own. not_loaded: why a known kind is not read.
    """

    kind: str
    pattern: str
    tables: tuple[str, ...] = ()
    names: str = ""
    not_loaded: str = ""


EXTRACTS: tuple[Extract, ...] = (
    Extract("cin_disabilities", r"cin_.*disabilit"),
    Extract("cin", r"cin_", ("cin_records",)),
    Extract("cla_episodes", r"cla_episode|episode_(?:final_)?cla|cla_data_supplied", ("cla_episodes", "cla_children")),
    Extract("cla_years", r"cla_\d{4}_to_\d{4}", ("cla_episodes", "cla_children")),
    Extract("spring_census", r"spring_census_(?P<year>\d{4})", ("npd_pupils",)),
    Extract("other_school_census", r"(?:ap|pru)_census_(?P<year>\d{4})(?!_to)", ("npd_pupils",), names="spring_census"),
    Extract(
        "school_census_of_years",
        r"(?:ap|pru)_census_",
        not_loaded="it holds several years, and no confirmed column says which",
    ),
    Extract(
        "termly_census",
        r"(?:autumn|summer)_census_",
        not_loaded="free school meals are taken from the spring census (FV.COV.1)",
    ),
    Extract("absence", r"absence_(?P<year>\d{4})_3term", ("npd_absence",)),
    Extract("two_term_absence", r"absence_(?P<year>\d{4})_2term", ("npd_absence",), names="absence"),
    Extract("la_statistics", r"la_statistics", ("la_statistics",)),
    Extract("subject_register", r"subject_register", ("subject_register",)),
)
YEAR_COLUMNS = {"npd_pupils": "census_year", "npd_absence": "school_year"}
NATIONAL_FORMS = ("iso", "uk", "named_month", "compact")
"""Forms of date that extracts come in (trap 19); a file has one of them."""

_NEEDED_OF_PUPILS = ("pupil_id", "fsm_eligible")
_FOLD_COLUMNS = ("return_year", "la_code", "la_child_id")
_MEMORY_LIMIT = "2GB"
_DAMAGED_ROW = re.compile(r"on Line: (\d+)")
_WIDTHS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")


@dataclass(frozen=True)
class Source:
    """A file that is read.

    year: in the file's name. columns, header_row, delimiter: what its header says (no columns: no value in the file).
    relation, row_number: SQL, once DuckDB can read it.
    """

    path: Path
    extract: Extract
    year: str | None = None
    columns: tuple[Given, ...] = ()
    header_row: int = 0
    delimiter: str = ","
    relation: str = ""
    row_number: str = ""

    @property
    def is_parquet(self) -> bool:
        """Whether the file is Parquet, with types of its own."""
        return self.path.suffix.lower() == ".parquet"


def land_national(source: Path, gate: Gate, published: Path | None = None, seeds: Path | None = None) -> pd.DataFrame:
    """Land every extract in ``source`` and publish the landing tables; returns the reconciliation.

    published: folder of published tables (default: ``published`` in ``source``, where there is one).
    seeds: folder of the seeds (default: the project's).

    The manifest tells, per file: the form of its dates (``date_forms``), columns that were expected and are not there
    (``missing_columns``), columns that no clause needs (``columns_not_loaded``, DP.7), LA codes that the register
    does not know (``unknown_la_codes``), disabilities folded into the census rows (``folded``) and files that are
    known and not needed (``ignored``).

    Raises InputError for a missing required column (naming the accepted names), a column whose name identifies a
    person, and a file that cannot be read to its end; SfpcError when the folder holds no extract. Nothing is landed
    then.
    """
    seeds = seeds or project_root() / "seeds"
    found = list(_discover(source, gate))
    if published is None and (source / PUBLISHED_FOLDER).is_dir():
        published = source / PUBLISHED_FOLDER
    if not found:
        raise SfpcError(
            f"{source} holds no national extract; expected files such as CIN_2018_to_2025.csv, "
            "CLA_Episode_Data.csv, Spring_Census_2021.csv, Absence_2021_3Term.csv, LA_Statistics.csv"
        )
    with duckdb.connect() as reader:
        _close_in(reader, source, gate.scratch())
        _Reading(reader, gate, seeds).land(found)
    if published is not None:
        land_published(published, gate)
    return gate.commit()


def _close_in(reader: duckdb.DuckDBPyConnection, *folders: Path) -> None:
    """Let the reader see the extracts and its own folder and nothing else, in bounded memory (DP.1)."""
    allowed = dict.fromkeys(_quoted(place) for folder in folders for place in (folder.absolute(), folder.resolve()))
    listed = ", ".join(f"'{place}'" for place in allowed)
    for setting in (
        f"memory_limit = '{_MEMORY_LIMIT}'",
        f"temp_directory = '{_quoted(folders[-1] / 'spill')}'",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        f"allowed_directories = [{listed}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        reader.execute(f"set {setting}")


def _discover(folder: Path, gate: Gate) -> Iterator[Source]:
    """Every extract among the files of a folder, by name; notes those of another kind."""
    for path in sorted(p for p in folder.glob("*") if p.is_file()) if folder.is_dir() else []:
        match = None
        if path.suffix.lower() in (".csv", ".parquet"):
            for extract in EXTRACTS:
                match = re.match(extract.pattern, path.stem, re.IGNORECASE)
                if match:
                    yield Source(path, extract, match.groupdict().get("year"))
                    break
        if match is None:
            gate.note_ignored(path, "not one of the extracts this project reads")


class _Reading:
    """One reading of a folder of extracts.

    A CSV is parsed once, in parallel and in the order of its rows, and only the columns that are needed are put down,
    as Parquet: the gate then reads them as often as it likes, with the row numbers of the file.
    """

    def __init__(self, reader: duckdb.DuckDBPyConnection, gate: Gate, seeds: Path) -> None:
        self._reader = reader
        self._gate = gate
        self._names = accepted_names(seeds)
        self._register = LaRegister(seeds / "reference" / "local_authority_codes.csv").codes
        self._copies = 0
        self._folded: Path | None = None
        self._census_keys: list[str] = []

    def land(self, files: list[Source]) -> None:
        """Hand every file to the gate, or say why not; disabilities before the census rows they belong to."""
        kinds = {f.extract.kind for f in files}
        whole_years = {f.year for f in files if f.extract.kind == "absence"}
        needed, disabilities = [], []
        for file in map(self._look, files):
            kind = file.extract.kind
            if file.extract.not_loaded:
                self._leave_out(file, f"not loaded: {file.extract.not_loaded}")
            elif kind == "cla_years" and "cla_episodes" in kinds:
                self._leave_out(file, "not needed: the file of all episodes is there")
            elif kind == "two_term_absence" and file.year in whole_years:
                self._leave_out(file, "not needed: the file of the whole school year is there")
            elif kind == "other_school_census" and not self._serves_meals(file):
                self._leave_out(file, "not loaded: it says nothing of free school meals (FV.COV.1)")
            elif kind == "cin_disabilities":
                disabilities.append(file)
            else:
                needed.append(file)
        if disabilities:
            self._fold(disabilities)
        for file in needed:
            try:
                self._land_file(file)
            except duckdb.Error as error:
                # Damage that shows only when values are read; the message may hold some of them.
                raise InputError("cannot be read: damaged inside", file=file.path) from error
        if disabilities:
            self._account_for_folded(disabilities)

    def _land_file(self, file: Source) -> None:
        say(f"  landing {file.path.name}")
        if not file.columns:
            self._gate.tell("empty_files", file.path, kind=file.extract.kind)
            for table in file.extract.tables:
                self._gate.add_empty(table, file.path)
            return
        names = self._accepted(file)
        self._check_columns(file, names)
        file = self._open(file, names)
        form = self._date_form(file, names)
        self._check_la_codes(file, names)
        for table in file.extract.tables:
            self._gate.add_query(table, file.path, self._query(file, table, names, form), form)

    def _leave_out(self, file: Source, reason: str) -> None:
        """Account for the rows of a file that is known and not read."""
        try:
            counted = (
                f"{self._one(f'select count(*) from {self._open(file, []).relation}') if file.columns else 0:,} rows"
            )
        except InputError as error:
            counted = f"rows not counted: {error}"
        self._gate.note_ignored(file.path, f"{reason} ({counted})")
        say(f"  {file.path.name}: {reason} ({counted})")

    # Columns

    def _look(self, file: Source) -> Source:
        """The file with its header. Raises InputError for a column whose name identifies a person (DP.1)."""
        if file.is_parquet:
            try:
                described = self._reader.execute(
                    f"describe select * from read_parquet('{_quoted(file.path)}')"
                ).fetchall()
            except duckdb.Error as error:
                raise InputError(f"cannot be read as Parquet ({str(error).splitlines()[0]})", file=file.path) from error
            columns = tuple(Given(name, kind, _identifier(name)) for name, kind, *_ in described)
            file = replace(file, columns=columns)
        else:
            file = self._look_at_csv(file)
        for given in file.columns:
            if is_identifying(given.name):
                raise InputError(
                    "the name says that the column identifies a person; it must not be in the extract (DP.1)",
                    file=file.path,
                    column=given.name,
                )
        return file

    def _look_at_csv(self, file: Source) -> Source:
        known = {bare(n.name) for n in self._accepted(file)}
        enough = max(1, min(2, len(known)))
        shape = find_header(file.path, lambda row: len(known & {bare(name) for name in row}) >= enough)
        shape.text.refuse_damage()
        if shape.problem:
            raise InputError(shape.problem, file=file.path)
        for note in shape.notes:
            self._gate.tell("reader_notes", file.path, note=note)
        if shape.is_empty:
            return file
        # Where no row looks like a header the first one is taken, so that the message can name what is missing.
        row = shape.header_row or 1
        with file.path.open(newline="", encoding=shape.text.encoding) as handle:
            spelt = next(islice(csv.reader(handle, delimiter=shape.delimiter), row - 1, None))
        columns = tuple(Given(name.strip(), "VARCHAR", f"c{i}") for i, name in enumerate(spelt))
        return replace(file, columns=columns, header_row=row, delimiter=shape.delimiter)

    def _accepted(self, file: Source) -> list[AcceptedName]:
        return self._names.get(file.extract.names or file.extract.kind, [])

    def _check_columns(self, file: Source, names: list[AcceptedName]) -> None:
        """Refuse what cannot be read; tell what is missing and what is not loaded."""
        for given in file.columns:
            suffix = YEAR_SUFFIX.search(given.name.strip().lower())
            if file.year and suffix and suffix[1] != file.year[-2:]:
                raise InputError(
                    f"the column is of another year than the file; expected the suffix {file.year[-2:]}",
                    file=file.path,
                    column=given.name,
                )
        used: set[str] = set()
        for table, column in dict.fromkeys((n.landing_table, n.column) for n in names):
            accepted = [n for n in names if (n.landing_table, n.column) == (table, column)]
            present = [g for n in accepted for g in matching(n.name, file.columns, file.path)]
            used |= {g.identifier for g in present}
            if present:
                continue
            wanted = list(dict.fromkeys(n.name for n in accepted))
            if any(n.is_required for n in accepted):
                raise InputError(
                    f"the column is missing; accepted names are {', '.join(wanted)}", file=file.path, column=column
                )
            purpose = next(c.purpose for c in TABLES[table].columns if c.name == column)
            self._gate.tell(
                "missing_columns", file.path, table=table, column=column, accepted_names=wanted, purpose=purpose
            )
            say(f"    no {column} ({' or '.join(wanted)}): left empty in {table}")
        if unused := [g.name for g in file.columns if g.identifier not in used]:
            self._gate.tell("columns_not_loaded", file.path, columns=unused, reason="no purpose (DP.7)")

    def _serves_meals(self, file: Source) -> bool:
        names = [n for n in self._accepted(file) if n.column in _NEEDED_OF_PUPILS]
        return {n.column for n in names if matching(n.name, file.columns, file.path)} == set(_NEEDED_OF_PUPILS)

    # Files

    def _open(self, file: Source, names: list[AcceptedName]) -> Source:
        """The file where DuckDB reads it: Parquet as it is, a CSV as a Parquet copy of the columns that are needed.

        Raises InputError for a row with more or fewer values than the header and for a quote left open.
        """
        if file.is_parquet:
            relation = f"read_parquet('{_quoted(file.path)}', file_row_number = true)"
            return replace(file, relation=relation, row_number="file_row_number + 1")
        plain = as_utf8(file.path, self._gate.scratch())
        kept = {g.identifier for n in names for g in matching(n.name, file.columns, file.path)} or {"c0"}
        listed = ", ".join(g.identifier for g in file.columns if g.identifier in kept)
        types = ", ".join(f"{g.identifier}: 'VARCHAR'" for g in file.columns)
        copy = self._gate.scratch() / f"extract_{self._copies:03d}.parquet"
        self._copies += 1
        try:
            self._reader.execute(
                f"copy (select {listed} from read_csv('{_quoted(plain)}', header = false, skip = {file.header_row}, "
                f"auto_detect = false, delim = '{file.delimiter}', quote = '\"', escape = '\"', "
                f"columns = {{{types}}})) to '{_quoted(copy)}' (format parquet, compression zstd)"
            )
        except duckdb.Error as error:
            raise _csv_problem(str(error), file.path) from error
        relation = f"read_parquet('{_quoted(copy)}', file_row_number = true)"
        return replace(file, relation=relation, row_number=f"file_row_number + {file.header_row + 1}")

    # Values

    def _date_form(self, file: Source, names: list[AcceptedName]) -> str:
        """The one form that the file's dates are written in, found from every value of its date columns (trap 19).

        A value of another form is set aside by the gate, row by row. 01/02/2020 is read day first, as declared,
        unless values that only work month first say otherwise. Raises InputError then, and where no value is a date.
        """
        typed = {(t, c.name) for t in file.extract.tables for c in TABLES[t].columns if c.type == "DATE"}
        columns = {
            given.identifier: given
            for n in names
            if (n.landing_table, n.column) in typed or n.reading in DATE_READINGS
            for given in matching(n.name, file.columns, file.path)
            if given.type == "VARCHAR"
        }
        if not columns:
            return "iso"
        values = " union all ".join(
            f"select {text_of(g, 'iso')} as v, count(*) as n from {file.relation} group by 1" for g in columns.values()
        )
        day_first, month_first = date_sql("v", "uk"), "try_strptime(split_part(v, ' ', 1), '%m/%d/%Y')"
        conditions = [
            *(f"{date_sql('v', form)} is not null" for form in NATIONAL_FORMS),
            f"{month_first} is not null and {day_first} is null",
            f"{month_first} is null and {day_first} is not null",
        ]
        sums = ", ".join(f"coalesce(sum(n) filter (where {c}), 0)" for c in conditions)
        row = self._reader.execute(
            f"with counts as (select v, sum(n) as n from ({values}) where v is not null "
            f"and not regexp_full_match(v, '{MONTH_ONLY}') group by v) select coalesce(sum(n), 0), {sums} from counts"
        ).fetchone()
        total, *counts = (int(v) for v in row or ())
        *fitting, only_month_first, only_day_first = counts
        named = ", ".join(g.name for g in columns.values())
        if only_month_first and only_month_first >= only_day_first:
            raise InputError(
                f"dates are written month first ({only_month_first:,} values of {named} cannot be read otherwise); "
                "expected dd/mm/yyyy",
                file=file.path,
            )
        best = max(range(len(NATIONAL_FORMS)), key=lambda i: fitting[i])
        if total and not fitting[best]:
            expected = ", ".join(DATE_FORMATS[form] for form in NATIONAL_FORMS)
            raise InputError(f"no value of {named} is a date; expected one of {expected}", file=file.path)
        form = NATIONAL_FORMS[best]
        other = total - fitting[best]
        self._gate.tell("date_forms", file.path, form=DATE_FORMATS[form], values=total, of_another_form=other)
        if other:
            say(f"    dates are {DATE_FORMATS[form]}; {other:,} of {total:,} values are not, and are set aside")
        return form

    def _check_la_codes(self, file: Source, names: list[AcceptedName]) -> None:
        """Tell rows with an LA code that is not in the register; the gate sets them aside (trap 24)."""
        for given in {g for n in names if n.reading == "la_code" for g in matching(n.name, file.columns, file.path)}:
            text = text_of(given, "iso")
            row = self._reader.execute(
                f"select count(*), min({file.row_number}), count(distinct {text}) from {file.relation} "
                f"where {text} is not null and {la_code_of(text, self._register)} is null"
            ).fetchone()
            rows, first, different = row or (0, 0, 0)
            if rows:
                self._gate.tell(
                    "unknown_la_codes", file.path, column=given.name, rows=rows, first_row=first, values=different
                )
                say(f"    {given.name}: {rows:,} rows hold no LA code of the register, first row {first}; set aside")

    def _values(self, file: Source, names: list[AcceptedName], table: str, form: str) -> dict[str, str]:
        """SQL of every landing column that the file's accepted names serve."""
        values = {}
        for column in dict.fromkeys(n.column for n in names if n.landing_table == table):
            present = [
                (n, g)
                for n in names
                if (n.landing_table, n.column) == (table, column)
                for g in matching(n.name, file.columns, file.path)
            ]
            if present:
                readings = [reading_of(n, g, form, self._register, len(present) == 1) for n, g in present]
                values[column] = f"coalesce({', '.join(readings)})" if len(readings) > 1 else readings[0]
        return values

    def _query(self, file: Source, table: str, names: list[AcceptedName], form: str) -> str:
        values = self._values(file, names, table, form)
        if file.year is not None and table in YEAR_COLUMNS:
            values[YEAR_COLUMNS[table]] = f"{file.year}::integer"
        selected = ", ".join(f"{values.get(c, 'null::varchar')} as {c}" for c in TABLES[table].names)
        body = f"select {selected}, ({file.row_number})::bigint as source_row from {file.relation}"
        listed = ", ".join(TABLES[table].names)
        if table == "cin_records" and self._folded is not None:
            fold_key = _fold_key(values)
            self._census_keys.append(f"select {fold_key} as fold_key from {file.relation}")
            # A child of the table of disabilities has its codes; 'NONE' there does not overrule a flag.
            body = (
                "select records.* replace (case when coalesce(folded.codes, 'NONE') <> 'NONE' then folded.codes "
                "else coalesce(records.disability::varchar, folded.codes) end as disability) "
                f"from (select *, {_fold_key({c: c for c in _FOLD_COLUMNS})} as fold_key from ({body})) as records "
                f"left join read_parquet('{_quoted(self._folded)}') as folded on records.fold_key = folded.fold_key"
            )
        if table == "cla_children":
            # The file of episodes repeats a child's particulars on every episode: one row per return and child.
            return f"select {listed}, min(source_row) as source_row from ({body}) group by {listed}"
        return f"select {listed}, source_row from ({body})"

    # Disabilities

    def _fold(self, files: list[Source]) -> None:
        """One row per disability becomes one per return and child: joined as it is, it would multiply rows (C.1)."""
        names = self._names["cin_disabilities"]
        self._reader.execute("create table disability_rows (part integer, fold_key varchar, code varchar)")
        for part, file in enumerate(files):
            say(f"  folding {file.path.name}")
            if not file.columns:
                continue
            self._check_columns(file, names)
            opened = self._open(file, names)
            self._check_la_codes(opened, names)
            values = self._values(opened, names, "cin_records", "iso")
            self._reader.execute(
                f"insert into disability_rows select {part}, {_fold_key(values)}, "
                f"upper(cast({values['disability']} as varchar)) from {opened.relation}"
            )
        self._folded = self._gate.scratch() / "disabilities.parquet"
        self._reader.execute(
            "copy (select fold_key, coalesce(string_agg(distinct code, ',' order by code) "
            "filter (where code <> 'NONE'), 'NONE') as codes from disability_rows "
            f"where fold_key is not null and code is not null group by fold_key) to '{_quoted(self._folded)}' "
            "(format parquet)"
        )

    def _account_for_folded(self, files: list[Source]) -> None:
        keys = " union all ".join(self._census_keys) or "select null::varchar as fold_key"
        self._reader.execute(
            f"create table census_keys as select distinct fold_key from ({keys}) where fold_key is not null"
        )
        for part, file in enumerate(files):
            row = self._reader.execute(
                "select count(*), count(*) filter (where d.fold_key is null or d.code is null), "
                "count(distinct d.fold_key) filter (where c.fold_key is not null), "
                "count(distinct d.fold_key) filter (where c.fold_key is null) "
                "from disability_rows as d left join census_keys as c on d.fold_key = c.fold_key where d.part = ?",
                [part],
            ).fetchone()
            rows, unusable, joined, lone = row or (0, 0, 0, 0)
            self._gate.tell(
                "folded", file.path, sha256=sha256_of(file.path), into="cin_records.disability", rows=rows,
                rows_without_key_or_code=unusable, child_years_joined=joined, child_years_without_a_record=lone,
            )  # fmt: skip
            say(f"  {file.path.name}: {rows:,} rows, {joined:,} children and years; {lone:,} more have no census row")

    def _one(self, query: str) -> int:
        row = self._reader.execute(query).fetchone()
        return int(row[0]) if row else 0


def _fold_key(values: dict[str, str]) -> str:
    """SQL of a child in a return, as text; null where a part is missing."""
    return " || '|' || ".join(f"upper(trim(cast({values[c]} as varchar)))" for c in _FOLD_COLUMNS)


def _csv_problem(error: str, file: Path) -> InputError:
    """What DuckDB says of a damaged CSV, without the line itself: it may hold anything."""
    row = _DAMAGED_ROW.search(error)
    widths = _WIDTHS.search(error)
    if widths:
        problem = (
            f"expected {widths[1]} values as in the header, found {widths[2]} (a damaged line, or an unquoted comma)"
        )
    elif "quote" in error.lower():
        problem = "a quote is left open here, or stands inside a value"
    elif "maximum line size" in error.lower():
        problem = "the line is longer than any line of an extract (a quote left open?)"
    else:
        problem = "cannot be read as CSV"
    return InputError(problem, file=file, row=int(row[1]) if row else None)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
