# Serin: `make demo` shows it, `make test` proves it, `make check` is the quick look. `make help` lists all.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/serin
UV_VERSION := 0.13.9
UV := $(CACHE)/tools/uv-$(UV_VERSION)/bin/uv
PYTHON ?= python3
RUN := .venv/bin/

# Without byte code that is kept, each start compiles all that it imports, which takes thrice the time of importing it.
unexport PYTHONDONTWRITEBYTECODE

# The quick look asks all at once: the code itself, and three parts of the tests that each load their own libraries
# only. Cores that one of them leaves idle, as where it waits for a server, are the others'.
DECIDING := tests/unit/decide tests/unit/judge
SERVING := tests/unit/serving tests/unit/contract
QUICK := $(RUN)pytest -q -m "not slow" --hypothesis-profile=quick

WHEEL_INPUTS := pyproject.toml uv.lock README.md LICENSE $(shell find operator serving -type f -not -path '*/__pycache__/*')

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 12

$(UV):
	@echo "Installing uv $(UV_VERSION) into $(CACHE)"
	@$(PYTHON) -m venv --clear $(CACHE)/tools/uv-$(UV_VERSION) 2>/dev/null || { \
		echo "Installing python3-venv, which Debian keeps apart from Python"; \
		apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; \
		$(PYTHON) -m venv --clear $(CACHE)/tools/uv-$(UV_VERSION); }
	@$(CACHE)/tools/uv-$(UV_VERSION)/bin/python -m pip install -q uv==$(UV_VERSION)

.venv/.ready: $(UV) pyproject.toml uv.lock
	@echo "Setting up .venv from the lock file"
	@$(UV) sync -q --frozen --python $(PYTHON)
	@touch $@

.PHONY: setup
setup: .venv/.ready ## Set up the Python environment in .venv

dist/.ready: .venv/.ready Makefile $(WHEEL_INPUTS)
	@echo "Building the wheel and the images' requirements"
	@rm -rf dist && mkdir -p dist
	@$(UV) build -q --wheel --out-dir dist
	@for program in operator serving serving-onnx prepare; do \
		$(UV) export -q --frozen --no-dev --no-emit-project --extra $$program --no-header --no-annotate \
			-o dist/requirements-$$program.txt; done
	@rm -f dist/.gitignore && touch $@

.PHONY: dist
dist: dist/.ready ## Build the wheel and the pinned requirements of the images

.PHONY: cluster
cluster: dist ## Start the local cluster with gateway and operator
	@$(RUN)serin cluster up

.PHONY: demo
demo: cluster ## Set up everything; a good model goes live, a bad one comes back
	@$(RUN)serin demo

.PHONY: check
check: setup ## Format, lint, types, imports, generated files, unit tests: under a minute
	@$(MAKE) --no-print-directory -j4 --output-sync=target check-code check-serving check-rest check-deciding

.PHONY: check-code check-deciding check-serving check-rest
check-code: setup
	@$(RUN)ruff format --check -q . || { echo "run: make format"; exit 1; }
	@$(RUN)ruff check -q .
	@$(RUN)mypy
	@$(RUN)lint-imports --no-logo 2>/dev/null | tail -n 12
	@$(RUN)serin crds write --check
	@$(RUN)python -m tests.audit

check-deciding: setup
	@$(QUICK) $(DECIDING)

check-serving: setup
	@$(QUICK) $(SERVING)

check-rest: setup
	@$(QUICK) tests/unit tests/contract $(addprefix --ignore=,$(DECIDING) $(SERVING))

.PHONY: test
test: check cluster ## Set up everything and pass every test; the cluster is ended afterwards
	@status=0; $(RUN)pytest -n 2 -m "slow or hypothesis" tests/unit tests/contract || status=$$?; \
		E2E_FIGURES=dist/e2e.md $(RUN)pytest tests/cluster tests/e2e || status=$$?; \
		$(RUN)pytest tests/conformance -m "required or not cluster" --brief || status=$$?; \
		$(RUN)serin cluster down; exit $$status

.PHONY: conformance
conformance: cluster ## Ask the local cluster's gateway for every behaviour that Serin builds on
	@$(RUN)pytest -q tests/conformance

.PHONY: bench
bench: cluster ## Long series: every transition under load, peers beside it, 6,000 simulated roll-outs per row
	@$(RUN)python -m tests.bench.traffic
	@$(RUN)python -m tests.bench.traffic.rollbacks
	@$(RUN)python -m tests.bench.traffic.flagger
	@$(RUN)serin cluster down
	@$(RUN)python -m tests.bench.serve_callers
	@$(RUN)python -m tests.bench.serve_bins
	@$(RUN)python -m tests.bench.mirror_traffic
	@$(RUN)python -m tests.bench.simulate_rollouts
	@$(RUN)python -m tests.bench.verdicts
	@$(RUN)python -m tests.bench.verdicts.real_shifts
	@$(UV) run -q --no-sync --with river==0.26.1 python -m tests.bench.verdicts.streams
	@$(RUN)python -m tests.bench.verdicts.cost
	@$(RUN)python -m tests.bench.simulate_watch
	@$(RUN)python -m tests.bench.profile_rows --rows 10000000
	@$(RUN)python -m tests.bench.serving
	@$(RUN)python -m tests.bench.serving.cold_start
	@$(RUN)python -m tests.bench.serving.hot_path
	@$(RUN)python -m tests.bench.serving.soak --minutes 10
	@$(RUN)python -m tests.bench.mlserver_codecs --uv $(UV)

.PHONY: fuzz
fuzz: setup ## Throw mutated bytes at all that decodes requests, ids and labels
	@$(UV) run -q --frozen --with atheris==3.0.0 python -m tests.fuzz.run

.PHONY: format
format: setup ## Format the code and write the generated files
	@$(RUN)ruff format -q .
	@$(RUN)ruff check -q --fix .
	@$(RUN)serin crds write

.PHONY: clean
clean: ## End the cluster and remove what was built here; programs stay in the cache
	@if [ -x $(RUN)serin ]; then $(RUN)serin cluster clean; fi
	@rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
