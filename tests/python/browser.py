"""What a page looks like in a real browser, where a Chromium is installed; nothing is asked of the network."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Measured inside the page: a frame of the given width, so that a telephone's width is possible too.
_PROBE = """<!DOCTYPE html><html><body style="margin:0"><iframe id="f" style="border:0;width:{width}px;height:900px"
srcdoc="{page}"></iframe><script>
document.getElementById('f').addEventListener('load', function () {{
  var d = this.contentDocument, w = this.contentWindow, shown = [], cut = 0, words = 0;
  d.querySelectorAll('details').forEach(function (e) {{ e.open = true; }});
  d.querySelectorAll('svg').forEach(function (s) {{
    var box = s.getBoundingClientRect();
    if (!box.width) return;
    shown.push({{width: box.width, height: box.height, label: s.getAttribute('aria-label')}});
    s.querySelectorAll('text').forEach(function (t) {{
      var b = t.getBoundingClientRect(); words += 1;
      var out = Math.max(box.left - b.left, b.right - box.right, box.top - b.top, b.bottom - box.bottom);
      if (out > 3) cut += 1;
    }});
  }});
  var asked = w.performance.getEntriesByType('resource').map(function (r) {{ return r.name; }});
  var pre = document.createElement('pre'); pre.id = 'probe';
  pre.textContent = JSON.stringify({{svgs: shown, words: words, cut: cut, asked: asked, title: d.title,
    overflow: d.documentElement.scrollWidth - d.documentElement.clientWidth}});
  document.body.appendChild(pre);
}});
</script></body></html>"""


@dataclass(frozen=True)
class Seen:
    """What the browser made of a page.

    svgs: width, height and label of every chart that is shown. words: texts in them. cut: texts that reach out of
    their chart. asked: addresses that the page asked for. overflow: pixels by which the page is wider than its window.
    """

    svgs: list[dict[str, Any]]
    words: int
    cut: int
    asked: list[str]
    title: str
    overflow: int


def browser() -> str | None:
    """Path of an installed Chromium; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def look_at(program: str, page: Path, width: int, folder: Path) -> Seen:
    """Open a page at a width, unfold it and measure it."""
    probe = folder / f"{page.stem}-{width}.html"
    probe.write_text(_PROBE.format(width=width, page=html.escape(page.read_text(encoding="utf-8"))), encoding="utf-8")
    done = subprocess.run(
        [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            f"--user-data-dir={folder / 'profile'}", "--window-size=1280,1000", "--virtual-time-budget=5000",
            "--dump-dom", probe.as_uri(),
        ],
        capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    start = done.stdout.index('<pre id="probe">') + len('<pre id="probe">')
    return Seen(**json.loads(html.unescape(done.stdout[start : done.stdout.index("</pre>", start)])))
