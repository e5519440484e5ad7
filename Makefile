# The commands of this project, the same for people and for CI. `make run` and `make test` set
# everything up by themselves: a virtual environment in .venv, filled from requirements/*.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test check lint format types imports simulate mutants model crash-images interop chaos fuzz bench bench-changes lock clean

run: $(VENV)/.run
	@$(BIN)/raft-node demo $(ARGS)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

check: lint types imports

lint: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

format: $(VENV)/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: $(VENV)/.dev
	@$(BIN)/mypy

imports: $(VENV)/.dev
	@$(BIN)/lint-imports
	@$(BIN)/deptry .

# Many seeded worlds, on all cores; SEEDS=n, a range: SEEDS=1000-1999, or fresh ones for HOURS=n.
# Replay one: python -m tests.simulation --seed N.
SEEDS ?= 200
simulate: $(VENV)/.dev
	@$(BIN)/python -m tests.simulation $(if $(HOURS),--hours $(HOURS),--seeds $(SEEDS)) $(ARGS)

# Raft in TLA+, within bounds and then at random; FULL=1: larger ones. Needs java and mvn.
model: $(VENV)/.dev
	@$(BIN)/python -m tests.model

# The numbered list of seeded faults: each must be caught by a checker it names. FULL=1 lets dice search
# 20 000 seeds for those that a scenario or a transcript shows (hours).
mutants: $(VENV)/.dev
	@$(BIN)/python -m tests.simulation.mutants $(if $(FULL),--seeds 20000) $(ARGS)

# The data folder crashed at every moment of random workloads, in every way a disk may leave it.
IMAGES ?= 100000
crash-images: $(VENV)/.dev
	@$(BIN)/python -m tests.storage --images $(IMAGES) $(ARGS)

# Clusters of Go and Python peers; the last line counts the cases. FULL=1: all of the matrix. Needs go.
interop: $(VENV)/.dev
	@$(BIN)/python -m tests.interop $(if $(FULL),--full) -n 2 --dist worksteal $(ARGS)

# Clusters of real peers under faults, judged by porcupine. Needs root, network namespaces and go.
MINUTES ?= 10
chaos: $(VENV)/.dev
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(ARGS)

# Every decoder, guided by coverage; needs atheris (the command says how). TARGET=name, SECONDS=n each.
TARGET ?= all
SECONDS ?= 60
fuzz: $(VENV)/.dev
	@$(BIN)/python -m tests.fuzz $(TARGET) --seconds $(SECONDS)
	@[ "$(TARGET)" != all ] || $(BIN)/python -m tests.fuzz.against_go --seconds $(SECONDS)

# Go and Python clusters in turn, in one run, with ratios. Needs go.
bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks $(ARGS)

# Snapshot, install and transfer of a large pinset, timed.
bench-changes: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.changing_cluster $(ARGS)

# The lock files: every package with its version and hashes. Needs uv (https://docs.astral.sh/uv).
lock:
	uv pip compile --universal --generate-hashes --no-emit-find-links --no-emit-index-url \
	  --no-annotate --custom-compile-command 'make lock' --python-version 3.11 \
	  --group pyproject.toml:build pyproject.toml -o requirements/run.lock
	uv pip compile --universal --generate-hashes --no-emit-find-links --no-emit-index-url \
	  --no-annotate --custom-compile-command 'make lock' --python-version 3.11 \
	  --group pyproject.toml:dev pyproject.toml -o requirements/dev.lock

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  f"Python {v[0]}.{v[1]} is not supported: use 3.11 to 3.13, e.g. make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.lock pyproject.toml | $(VENV)/bin/python
	@echo "Setting up .venv: downloading about 75 packages (60 MB) named in requirements/run.lock ..."
	@$(PIP) --no-deps --require-hashes -r requirements/run.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml | $(VENV)/bin/python
	@echo "Setting up .venv: downloading about 110 packages (90 MB) named in requirements/dev.lock ..."
	@$(PIP) --no-deps --require-hashes -r requirements/dev.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@# libp2p pulls in trio-typing, whose outdated stubs would hide trio's own types from mypy.
	@rm -rf $(VENV)/lib/python*/site-packages/trio-stubs
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
