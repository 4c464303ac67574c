"""Progress of long steps, as plain lines on standard error (they survive logs and screen readers)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(message: str) -> None:
    """Print one line of progress."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step and, when it is over, how long it took."""
    say(f"{title} ...")
    started = time.monotonic()
    yield
    say(f"{title}: {time.monotonic() - started:.1f} s")
