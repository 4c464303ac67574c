"""The one exception that an analyst sees as a single line."""

from __future__ import annotations


class SfpcError(Exception):
    """Something the analyst can act on; the command line prints its message alone and exits with ``exit_code``.

    Say what is wrong, where (file, row, column) and what was expected.
    """

    exit_code = 2


class InputError(SfpcError):
    """An input file that cannot be used.

    Parameters
    ----------
    problem: what is wrong and what was expected.
    file, row, column: where, as far as known (row counts from 1, a header line included).
    """

    def __init__(
        self,
        problem: str,
        *,
        file: object = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        place = [str(file)] if file is not None else []
        if row is not None:
            place.append(f"row {row}")
        if column is not None:
            place.append(f"column {column}")
        super().__init__(f"{', '.join(place)}: {problem}" if place else problem)


class QuarantineError(SfpcError):
    """More was set aside than the limit allows (DP.2): the files can be read, but something is wrong with them."""

    exit_code = 1
