#!/usr/bin/env bash
# An environment beside the project's own, with the adapters of two more engines, made when its lock has changed.
set -euo pipefail
cd "$(dirname "$0")/.."
side=.venv-portable
stamp=$(cat requirements.lock requirements-portable.lock | .venv/bin/python -c "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())")
if [ "$(cat $side/stamp 2>/dev/null || true)" != "$stamp" ]; then
  rm -rf $side
  .venv/bin/python -m venv $side
  where='import sysconfig; print(sysconfig.get_path("purelib"))'
  .venv/bin/python -c "$where" > "$($side/bin/python -c "$where")/project.pth"
  $side/bin/pip install --quiet --require-hashes --no-deps -r requirements-portable.lock
  echo "$stamp" > $side/stamp
fi
exec $side/bin/python tools/portability.py
