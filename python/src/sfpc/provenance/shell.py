"""`sfpc shell`: the marts and results, read-only, at a prompt or from a command.

The database is opened so that nothing can be written and no other file or address can be reached, and that is locked:
what may leave is made by `sfpc release`. What is typed is kept nowhere, unless a file for it is named.
"""

from __future__ import annotations

import csv
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import duckdb

from sfpc.errors import SfpcError
from sfpc.progress import say
from sfpc.provenance.explain import as_text, explain
from sfpc.provenance.queries import read_queries
from sfpc.settings import Paths

PROMPT = "sfpc> "
_SCHEMAS = "marts,results"
_MOST_ROWS = 60
_MOST_COLUMNS = 1000
_WIDTH = 180
_WORDS = tuple(
    re.findall(
        r"\w+",
        "select from where group by order having limit join left inner using on as and or not null is in between case "
        "when then else end distinct count sum avg min max cast union all with describe summarize",
    )
)
_HELP = """  SQL ends with a semicolon. Tables of marts and results need no schema.
  .tables               marts and results, with what they hold
  .describe TABLE       grain, columns, types and meaning
  .queries              the worked queries
  .query NAME           run one of them
  .explain ADDRESS      walk a number back, as .explain effects.csv:1
  .help, .quit"""


def open_read_only(marts_db: Path) -> duckdb.DuckDBPyConnection:
    """A connection that can read the published file and do nothing else. Raises SfpcError where there is none."""
    if not marts_db.is_file():
        raise SfpcError(f"no marts at {marts_db}: build them first (make build)")
    try:
        connection = duckdb.connect(str(marts_db), read_only=True)
    except duckdb.Error as error:
        raise SfpcError(f"{marts_db}: cannot be opened; `sfpc verify` says what changed") from error
    held = {row[0] for row in connection.execute("select schema_name from duckdb_schemas()").fetchall()}
    path = ",".join(name for name in _SCHEMAS.split(",") if name in held)
    for setting in (
        f"search_path = '{path}'",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")
    return connection


class Shell:
    """One session; what it answers goes to standard output. is_csv: rows as CSV instead of a box."""

    def __init__(self, paths: Paths, is_csv: bool = False) -> None:
        self.paths = paths
        self.is_csv = is_csv
        self.connection = open_read_only(paths.marts_db)

    def close(self) -> None:
        """End the session."""
        self.connection.close()

    def run(self, text: str) -> bool:
        """Run one command or statement; False when it ends the session. Raises SfpcError with what was wrong."""
        text = text.strip()
        if text.startswith("."):
            return self._command(text)
        if text.rstrip(";").strip():
            self._sql(text)
        return True

    def _sql(self, sql: str, most_rows: int = _MOST_ROWS) -> None:
        try:
            # A statement that gives no rows gives None, whatever the stubs say.
            relation = cast("duckdb.DuckDBPyRelation | None", self.connection.sql(sql))
            if relation is None:
                return
            if self.is_csv:
                writer = csv.writer(sys.stdout, lineterminator="\n")
                writer.writerow(relation.columns)
                while rows := relation.fetchmany(1000):
                    writer.writerows(rows)
            else:
                relation.show(max_rows=most_rows, max_width=max(shutil.get_terminal_size((_WIDTH, 24)).columns, 80))
        except duckdb.Error as error:
            raise SfpcError(str(error).strip()) from error

    def _command(self, text: str) -> bool:
        name, _, rest = text.rstrip(";").partition(" ")
        rest = rest.strip()
        commands: dict[str, Callable[[str], None]] = {
            ".tables": self._tables,
            ".describe": self._describe,
            ".queries": self._queries,
            ".query": self._query,
            ".explain": self._explain,
            ".help": lambda _: print(_HELP),
        }
        if name in {".quit", ".exit"}:
            return False
        if name not in commands:
            raise SfpcError(f"no command {name}; .help lists them")
        commands[name](rest)
        return True

    def _tables(self, _: str) -> None:
        self._sql(
            "select schema_name as schema, table_name as name, estimated_size as rows, comment as holds "
            "from duckdb_tables() where schema_name in ('marts', 'results') order by all",
            most_rows=_MOST_COLUMNS,
        )

    def _describe(self, name: str) -> None:
        schema, _, table = name.rpartition(".")
        found = self.connection.execute(
            "select schema_name, comment from duckdb_tables() where table_name = ? and ? in ('', schema_name)",
            [table, schema],
        ).fetchone()
        if found is None:
            raise SfpcError(f"no table '{name}'; .tables lists them")
        print(found[1] or "")
        self._sql(
            "select column_name as column, data_type as type, comment as meaning from duckdb_columns() "
            f"where schema_name = '{found[0]}' and table_name = '{table}' order by column_index",
            most_rows=_MOST_COLUMNS,
        )

    def _queries(self, _: str) -> None:
        held = read_queries(self.paths)
        if not held:
            raise SfpcError("the worked queries are written by `sfpc dictionary`; run it once")
        width = max(map(len, held))
        for query in held.values():
            print(f"{query.name.ljust(width)}  {query.question}")

    def _query(self, name: str) -> None:
        held = read_queries(self.paths)
        if name not in held:
            raise SfpcError(f"no worked query '{name}'; .queries lists them (written by `sfpc dictionary`)")
        print(held[name].sql)
        self._sql(held[name].sql)

    def _explain(self, text: str) -> None:
        if not text:
            raise SfpcError("say what to walk back, as .explain effects.csv:1")
        address, *where = text.split()
        print(as_text(explain(self.paths, address, where)))

    def words(self) -> list[str]:
        """What the tab key completes: commands, tables, columns, words of SQL and worked queries."""
        rows = self.connection.execute(
            "select table_name from duckdb_tables() union select column_name from duckdb_columns() "
            "where schema_name in ('marts', 'results')"
        ).fetchall()
        commands = [line.split()[0].rstrip(",") for line in _HELP.splitlines() if line.strip().startswith(".")]
        return sorted({*commands, ".quit", *_WORDS, *(str(row[0]) for row in rows), *read_queries(self.paths)})


def statements(lines: Iterator[str]) -> Iterator[str]:
    """Commands and statements out of lines: a command is a line that begins with a dot, SQL goes on to a semicolon."""
    held: list[str] = []
    for line in lines:
        if not held and (line.strip().startswith(".") or not line.strip()):
            if line.strip():
                yield line.strip()
            continue
        held.append(line)
        if line.rstrip().endswith(";"):
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)


def run_shell(
    paths: Paths, commands: Sequence[str] | None = None, is_csv: bool = False, history: Path | None = None
) -> None:
    """The verb: run the commands given, or what comes in, or ask for it at a prompt.

    Not at a prompt, the first mistake ends it with SfpcError; at a prompt it is said and the next line is asked for.
    """
    shell = Shell(paths, is_csv)
    try:
        if commands:
            for command in commands:
                shell.run(command)
        elif not sys.stdin.isatty():
            for statement in statements(line.rstrip("\n") for line in sys.stdin):
                if not shell.run(statement):
                    break
        else:
            _at_prompt(shell, history)
    finally:
        shell.close()


def _at_prompt(shell: Shell, history: Path | None) -> None:
    say(f"{shell.paths.marts_db}, read-only. Not for release. .help lists commands.")
    _prepare_line(shell, history)
    try:
        for statement in statements(_typed()):
            try:
                if not shell.run(statement):
                    break
            except SfpcError as error:
                say(str(error))
    finally:
        _keep_history(history)


def _typed() -> Iterator[str]:
    """Lines as they are typed, to the end of input; an interrupt drops the line."""
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()


def _prepare_line(shell: Shell, history: Path | None) -> None:
    try:
        import readline
    except ImportError:
        return
    words = shell.words()

    def complete(text: str, state: int) -> str | None:
        return next(iter([word for word in words if word.startswith(text)][state : state + 1]), None)

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n,()=;")
    readline.parse_and_bind("tab: complete")
    if history is not None and history.is_file():
        readline.read_history_file(history)


def _keep_history(history: Path | None) -> None:
    if history is None:
        return
    try:
        import readline
    except ImportError:
        return
    readline.write_history_file(history)
