"""What identifies a child is reduced here, while it is read (DP.1): nothing finer leaves this module.

UPNs become keyed hashes, birth dates become year and month, and names of identifying fields are told.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from functools import lru_cache
from pathlib import Path

from sfpc.errors import SfpcError
from sfpc.landing.dates import to_date

KEY_VARIABLE = "SFPC_PSEUDONYM_KEY"
KEY_FILE = "pseudonym.key"
SHORTEST_KEY = 16

NOT_A_DATE = "not a date"
"""Stands in for an unreadable birth date, so that the gate sets the row aside without seeing it."""

_UPN = re.compile(r"[A-Z][0-9]{11}[0-9A-Z]", re.ASCII)
_BLANKS = re.compile(r"\s+")
_IDENTIFYING = re.compile(
    r"(?:^|fore|sur|first|last|middle|family|given|full|birth|child|pupil|person|parent|mother|father)"
    r"names?$|address|postcode|nhs|nationalinsurance|^nino$|^ni(?:no|number)|passport|telephone|phone|mobile"
    r"|email|dateofbirth"
)


def pupil_pseudonym(upn: str | None, key: bytes) -> str | None:
    """Keyed pseudonym of a unique pupil number: 32 hex characters of HMAC-SHA256, or None.

    Upper case and blanks inside the number make no difference. None for a blank, for the codes UN1 to
    UN7 (reasons for not having a number: joining on them would merge children) and for anything that
    is not shaped like a UPN or a temporary UPN (a letter, 11 digits, a digit or letter). The check
    letter is not tested: a wrong one still is the LA's own number for the pupil.

    Source: docs/raw_data.md A.2, A.4 and trap 18; FV.SAMPLE.1.
    """
    if not upn:
        return None
    tidy = _BLANKS.sub("", upn).upper()
    if not _UPN.fullmatch(tidy):
        return None
    return hmac.digest(key, tidy.encode("ascii"), "sha256").hex()[:32]


def load_key(data_dir: Path) -> bytes:
    """The project's pseudonym key, as the bytes of its text.

    From the environment (SFPC_PSEUDONYM_KEY) where set, else from ``data_dir/pseudonym.key``, which is
    made on first use: 32 random bytes as hex, readable by the owner alone. The file's text in the
    environment gives the same pseudonyms.

    Raises SfpcError for a key of fewer than 16 characters.
    """
    text = os.environ.get(KEY_VARIABLE, "").strip()
    origin = f"the environment variable {KEY_VARIABLE}"
    if not text:
        path = data_dir / KEY_FILE
        origin = str(path)
        if not path.exists():
            _make_key(path)
        text = path.read_text(encoding="utf-8").strip()
    if len(text) < SHORTEST_KEY:
        raise SfpcError(f"the pseudonym key in {origin} has {len(text)} characters; at least {SHORTEST_KEY} are needed")
    return text.encode("utf-8")


def passing_key() -> bytes:
    """A key for a check, which keeps nothing: made afresh, written nowhere."""
    return secrets.token_hex(32).encode("ascii")


def key_id(key: bytes) -> str:
    """Twelve hex characters that tell one key from another and give nothing of it away; for manifests (DP.8)."""
    return hmac.digest(key, b"id of this key", "sha256").hex()[:12]


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(secrets.token_hex(32) + "\n")
        # A link fails where another process was first: its key then holds for both.
        path.hardlink_to(aside)
    except FileExistsError:
        pass
    finally:
        aside.unlink()


@lru_cache(maxsize=65536)
def birth_month(value: str | None, date_format: str, return_year: int | None = None) -> tuple[str | None, str | None]:
    """Year and month, as text, of a birth date in one of the declared formats of :mod:`sfpc.landing.dates`.

    The day is dropped. ``return_year`` decides the century of a year of two digits. A blank gives two
    None; a value that is not a date of that form gives ``NOT_A_DATE`` as the year, never the value
    itself: part of it may be the day.
    """
    text = (value or "").strip()
    if not text:
        return None, None
    day = to_date(text, date_format, return_year)
    if day is None:
        return NOT_A_DATE, None
    return str(day.year), str(day.month)


def is_identifying(name: str) -> bool:
    """Whether the name of a field says that it identifies a person (name, address, NHS number ...)."""
    return _IDENTIFYING.search(re.sub(r"[^a-z0-9]", "", name.lower())) is not None
