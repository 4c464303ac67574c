#!/usr/bin/env bash
# Style and types of SQL and Python. Each tool prints only what is wrong.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
$bin/ruff check --quiet python tests
$bin/ruff format --quiet --check python tests
$bin/mypy
$bin/sqlfluff lint --processes 2 --nocolor --disable-progress-bar models analysis tests/dbt
