"""What is not for release says so: a marker in every folder of outputs/ but the one that the door writes (DP.5)."""

from __future__ import annotations

from pathlib import Path

MARKER = "NOT_FOR_RELEASE.txt"
RELEASE = "release"
_TEXT = """NOT FOR RELEASE

Nothing in this folder, or in folders below it, has passed disclosure control. It can hold small numbers from which a
child can be recognised. It stays where it is.

What may leave is made by `sfpc release` and lies in outputs/release, in folders of its own.
"""
# Folders made from published figures or from the plan alone, where no row is about children.
_NO_CHILDREN = {
    "published": "index.html here is made of published figures alone and may be passed on; the rest may not.\n",
    "plan": "The plan here is made of the project's own rows alone and may be passed on; the rest may not.\n",
}


def mark_not_for_release(outputs: Path) -> list[Path]:
    """Put the marker into outputs and every folder directly in it, the release folder apart; returns those written.

    A folder that does not exist gets nothing. A marker that is there already is left alone.
    """
    if not outputs.is_dir():
        return []
    folders = [f for f in sorted(outputs.iterdir()) if f.is_dir() and f.name != RELEASE and not f.is_symlink()]
    written = []
    for folder in [outputs, *folders]:
        marker = folder / MARKER
        text = _TEXT + (f"\n{_NO_CHILDREN[folder.name]}" if folder != outputs and folder.name in _NO_CHILDREN else "")
        if not marker.exists() or marker.read_text(encoding="utf-8") != text:
            marker.write_text(text, encoding="utf-8")
            written.append(marker)
    return written
