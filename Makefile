.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SCENARIO ?= bad
WORKERS ?= 3
SEEDS ?= 1000
# Every test process, and every program that a test starts, would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: audit sbom help setup demo test lint format golden requirements bench simulate reverts mutation preview pictures docs compat \
  release clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml requirements/dev.txt
	@PYTHON=$(PYTHON) scripts/debian setup
	@PYTHON=$(PYTHON) scripts/venv $(VENV) dev

$(VENV)/.installed-demo: pyproject.toml requirements/demo.txt
	@PYTHON=$(PYTHON) scripts/venv $(VENV) demo

setup: $(VENV)/.installed ## create .venv with everything this project needs

demo: ## watch a bad canary being rolled back (SCENARIO=healthy, provider-outage or second-release)
	@PYTHON=$(PYTHON) scripts/debian demo
	@$(MAKE) --no-print-directory --silent $(VENV)/.installed-demo
	@$(BIN)/canary demo --scenario $(SCENARIO) $(ARGS)

test: ## lint, then every test, on the real parts
	@PYTHON=$(PYTHON) scripts/debian test
	@$(MAKE) --no-print-directory --silent setup
	@scripts/npm
	@$(MAKE) --no-print-directory lint
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

lint: $(VENV)/.installed ## ruff, mypy --strict, import directions, jsonnetfmt, promtool, our own lints
	@scripts/lint

format: $(VENV)/.installed ## bring Python and jsonnet into the house's form
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format --quiet .
	@git ls-files '*.jsonnet' '*.libsonnet' | xargs --no-run-if-empty jsonnetfmt -i

golden: $(VENV)/.installed ## renew the committed output of the generators
	@$(BIN)/python -m scripts.golden

requirements: ## renew the exact versions that are installed (ARGS=--upgrade: the newest)
	@PYTHON=$(PYTHON) scripts/requirements

preview: $(VENV)/.installed ## draw the Grafana dashboards with a demo's live data, as pages and pictures
	@scripts/debian test
	@$(BIN)/python -m scripts.preview $(ARGS)

bench: $(VENV)/.installed ## run the benchmarks; figures go to bench/RESULTS.md
	@scripts/debian bench
	@scripts/bench

simulate: $(VENV)/.installed ## whole rollouts in virtual time, under faults drawn from seeds (SEEDS=1000 JOBS=2, or SEED=n to tell one)
	@$(BIN)/python -m simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

reverts: $(VENV)/.installed ## undo known fixes in scratch copies, and show which seed finds each
	@$(BIN)/python -m simulation.reverts $(ARGS)

mutation: $(VENV)/.installed ## small faults in what decides: which does no test notice? (ARGS="--only folding"; all take hours)
	@$(BIN)/python -m scripts.mutation $(ARGS)

audit: ## look for known vulnerabilities in everything that is installed (needs the network)
	@PYTHON=$(PYTHON) scripts/audit

pictures: $(VENV)/.installed ## renew the pictures of the documentation: dashboards, page, list of services
	@scripts/debian test
	@$(BIN)/python -m scripts.pictures

docs: ## build the documentation as a site: site/index.html (ARGS=serve: while writing; release, dev, versions: by version)
	@scripts/docs $(ARGS)

compat: $(VENV)/.installed ## try the programs that lie in a folder (PROGRAMS=FOLDER), and renew docs/operate/compatibility.md
	@$(BIN)/python -m scripts.compat $(or $(PROGRAMS),$(error PROGRAMS=FOLDER is missing)) $(ARGS)

sbom: $(VENV)/.installed ## write the bill of materials of what runs, as CycloneDX: dist/sbom.json
	@mkdir -p dist
	@$(BIN)/python -m scripts.sbom dist/sbom.json && echo dist/sbom.json

release: $(VENV)/.installed ## lay a release out in dist/, publishing nothing (ARGS="--prepare 1.2.0": its changelog section first)
	@$(BIN)/python -m scripts.release $(ARGS)

clean: ## remove what the other targets made
	@rm -rf $(VENV) .venv-docs bench/exporter/.venv node_modules .mypy_cache .ruff_cache .hypothesis dist site generated
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
