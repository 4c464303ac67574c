"""XML that declares a document type or entities, found before anything is built from it: no return needs one.

The one home of this check, for returns (:mod:`sfpc.landing.cin_xml`, and through it SSDA903 XML) and for the
parts of workbooks (:mod:`sfpc.landing.archive`).
"""

from __future__ import annotations

from typing import IO
from xml.parsers import expat

LONGEST_PROLOG = 1 << 20
"""Bytes before the first element, comments included, beyond which a file is refused unread."""

DECLARES = "declares a document type or entities (<!DOCTYPE, <!ENTITY)"
"""What is wrong with such a file, in words."""

NOT_XML = (expat.ExpatError, LookupError, ValueError)
"""What the parser raises for a file that it cannot read up to its first element."""

_BLOCK = 1 << 16


class LongPrologError(Exception):
    """No element in the first :data:`LONGEST_PROLOG` bytes; the message says so."""


class _Stop(Exception):
    """Ends the scan at the first element or declaration."""


def declaration_row(source: IO[bytes]) -> int | None:
    """Row (from 1) of the first declaration of a document type or of entities; None where there is none.

    Declarations can only stand before the first element, and only the parser itself reads every encoding as
    the later reading will: so the parser scans the prolog, with nothing else switched on.

    Raises one of :data:`NOT_XML` for what is no XML up to there, LongPrologError for a prolog without end.
    """
    found: list[int] = []

    def declared(*_: object) -> None:
        found.append(parser.CurrentLineNumber)
        raise _Stop

    def stop(*_: object) -> None:
        raise _Stop

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = declared
    parser.EntityDeclHandler = declared
    parser.StartElementHandler = stop
    scanned = 0
    try:
        while block := source.read(_BLOCK):
            scanned += len(block)
            parser.Parse(block, False)
            if scanned > LONGEST_PROLOG:
                raise LongPrologError(f"no element in the first {LONGEST_PROLOG} bytes")
        parser.Parse(b"", True)
    except _Stop:
        pass
    return found[0] if found else None
