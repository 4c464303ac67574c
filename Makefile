.DEFAULT_GOAL := help
SHELL := bash
VENV := .venv
BIN := $(VENV)/bin
export DBT_PROFILES_DIR := .
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Small matrices and two worker processes: threads inside BLAS only get in each other's way.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

SIZE ?= small
SEED ?= 20210701
RETURNS ?=
CLAUSE ?=
PUBLISHED ?=
QUICK ?=
ROWS ?=

.PHONY: help
help: ## list the verbs
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## make .venv from the locked packages (done by every other verb when needed)
	@tools/setup.sh

.PHONY: evaluate
evaluate: setup ## synthetic national extracts -> warehouse -> matching -> effect -> outputs/report/index.html (SIZE=small|national, SEED=n)
	@$(BIN)/sfpc evaluate --size $(SIZE) --seed $(SEED)

.PHONY: test
test: setup ## every test: SQL style, Python style and types, dbt build and unit tests, pytest (closing line last)
	@tools/checks.sh
	@$(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: test-long
test-long: setup ## nightly-size checks: recovery over seeds, national-size extracts, larger simulations
	@$(BIN)/python -m pytest -q -m long

.PHONY: extracts
extracts: setup ## write the synthetic national extracts only (data/extracts)
	@$(BIN)/sfpc synthesise --size $(SIZE) --seed $(SEED)

.PHONY: build
build: setup ## land data/extracts, run dbt build and publish the marts (data/warehouse.duckdb, data/marts/*.parquet)
	@$(BIN)/sfpc land
	@$(BIN)/sfpc build

.PHONY: returns
returns: setup ## land statutory returns (CIN census XML, SSDA903 CSV) of RETURNS=DIR; without it, of synthetic returns
	@$(BIN)/sfpc returns $(if $(RETURNS),"$(RETURNS)")

.PHONY: published
published: setup ## matching and LA-level differences on published figures of PUBLISHED=DIR -> outputs/published/index.html; without it, on a synthetic twin
	@$(BIN)/sfpc published $(if $(PUBLISHED),"$(PUBLISHED)")

.PHONY: release
release: setup ## what may leave of the last run, through disclosure control -> outputs/release/<id>
	@$(BIN)/sfpc release

.PHONY: dictionary
dictionary: setup ## every mart and results table with columns and meaning, worked queries, dbt's documentation -> outputs/dictionary
	@$(BIN)/sfpc dictionary

.PHONY: shell
shell: setup ## open marts and results read-only at a prompt
	@$(BIN)/sfpc shell

.PHONY: verify
verify: setup ## what changed since: every file from extracts to report against its recorded hash
	@$(BIN)/sfpc verify

.PHONY: recovery
recovery: setup ## 50 seeds of a reduced set: does the estimate recover the planted effect?
	@$(BIN)/sfpc recovery

.PHONY: simulation
simulation: setup ## size, bias, coverage and power of every method where the truth is known -> docs/simulation (long; QUICK=1)
	@$(BIN)/sfpc simulation $(if $(QUICK),--quick)

.PHONY: trace
trace: setup ## what implements a clause: CLAUSE=FV.OUT.P builds and tests it on data/landing and prints wording, models, results
	@$(BIN)/sfpc trace "$(CLAUSE)"

.PHONY: bench
bench: setup ## speed, as ratios measured in one run (never part of the tests)
	@$(BIN)/sfpc bench

.PHONY: bench-landing
bench-landing: setup ## speed and peak memory of landing a CIN census, beside the XML parser alone (SFPC_BENCH_MB=60)
	@$(BIN)/sfpc bench-landing

.PHONY: bench-estimation
bench-estimation: setup ## speed of estimation as ratios to statsmodels (and pyfixest where installed) in one run (ROWS=n)
	@$(BIN)/sfpc bench-estimation $(if $(ROWS),--rows $(ROWS))

.PHONY: portable
portable: setup ## compile every model for Spark and PostgreSQL and parse what comes out (no engine is run)
	@tools/portable.sh

.PHONY: lint
lint: setup ## SQL style, Python style and types only
	@tools/checks.sh

.PHONY: clean
clean: ## remove data, outputs and build folders (keeps .venv and the ledger of releases)
	@rm -rf data target logs
	@if [ -d outputs ]; then find outputs -mindepth 1 -maxdepth 1 ! -name ledger -exec rm -rf {} +; fi
