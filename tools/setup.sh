#!/usr/bin/env bash
# Make .venv hold exactly the packages of requirements.lock, and this project. Does nothing when it already does.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || { echo "Python 3.11 or newer is needed; '$python' is $("$python" -V)" >&2; exit 1; }
stamp=$("$python" - <<'PY'
import hashlib, pathlib, sys
files = ("requirements.lock", "pyproject.toml")
print(sys.version.split()[0], hashlib.sha256(b"".join(pathlib.Path(f).read_bytes() for f in files)).hexdigest())
PY
)
if [ "$(cat .venv/stamp 2>/dev/null || true)" != "$stamp" ]; then
  echo "Setting up .venv (about a minute, once) ..." >&2
  rm -rf .venv
  "$python" -m venv .venv
  .venv/bin/pip install --quiet --require-hashes --no-deps -r requirements.lock
  .venv/bin/pip install --quiet --no-deps --no-build-isolation -e .
  echo "$stamp" > .venv/stamp
fi
