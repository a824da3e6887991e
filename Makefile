# Targets for people and for continuous integration; `make` lists them.
# Every target sets up .venv first when it is missing, stale, or was made in another folder.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.vostok-setup
PACKAGES := $(wildcard vostok vostok_*)

SEED ?= 1
LAKE ?=
JSON ?=
WORKERS ?= 2
PORT ?= 3000

# Compiled modules halve every start, whatever the caller's environment says.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# A virtual environment holds absolute paths, so a copied or moved one is made anew; so is one whose
# interpreter has gone.
ifneq ($(shell $(PY) -c "" 2>/dev/null && cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

.PHONY: help
help: ## list the targets
	@printf 'Vostok: from exchange ticks and news to a trading model that has earned promotion.\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nStart with `make demo`; then `$(VENV)/bin/vostok --help`.\n'

.PHONY: setup
setup: $(STAMP) ## make .venv from the pinned versions

# The build runs on a pinned setuptools too (--no-build-isolation). The last two lines pay for
# compilation now, so that the first command doesn't.
$(STAMP): pyproject.toml constraints.txt
	@if [ "$$(cat $(STAMP) 2>/dev/null)" = '$(CURDIR)' ] && $(PY) -c '' 2>/dev/null; then \
	  echo 'Bringing $(VENV) up to date.'; \
	else \
	  found=; for python in python3.11 python3 python; do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' \
	      >/dev/null 2>&1; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo 'Vostok needs Python 3.11 with its venv module, and none of python3.11, python3 and' \
	      'python is that. Hint: install it (on Debian or Ubuntu: the packages python3.11 and' \
	      'python3.11-venv) and run make again.' >&2; \
	    exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$("$$found" --version); the first time takes some minutes."; \
	  "$$found" -m venv --clear $(VENV); \
	fi
	@rm -f $(STAMP)
	@$(PY) -m pip install --quiet --no-compile -c constraints.txt setuptools
	@$(PY) -m pip install --quiet --no-compile --no-build-isolation -c constraints.txt -e '.[dev]'
	@$(PY) -m compileall -qq -j $(WORKERS) $(VENV)/lib || true
	@$(PY) -m compileall -qq $(PACKAGES)
	@$(PY) -m vostok warm
	@printf '%s\n' '$(CURDIR)' > $(STAMP)
	@echo 'Ready.'

.PHONY: demo
demo: $(STAMP) ## two synthetic markets from raw trades to the gate, the promoted model live (SEED=1)
	@$(PY) -m vostok demo --seed $(SEED) $(if $(LAKE),--lake '$(LAKE)') $(if $(JSON),--json '$(JSON)')

.PHONY: ui
ui: $(STAMP) ## Dagster's web page and daemon on the lake (PORT=3000)
	@$(PY) -m vostok ui --port $(PORT) $(if $(LAKE),--lake '$(LAKE)')

.PHONY: check
check: $(STAMP) ## lint, format, types and import rules
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

.PHONY: test
test: check ## check, then every test that is not long
	@$(PY) -m pytest -n $(WORKERS) --dist worksteal -m 'not long'

.PHONY: test-long
test-long: $(STAMP) ## the tests that take minutes
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile -m long

.PHONY: format
format: $(STAMP) ## format the code and mend what lint can mend
	@$(VENV)/bin/ruff check --fix --quiet . || true
	@$(VENV)/bin/ruff format .

.PHONY: docs
docs: $(STAMP) ## rewrite the generated pages of docs/
	@$(PY) -m vostok.reference
	@$(PY) -m vostok_live.service.reference
	@$(PY) -m vostok_core.features.document > docs/features.md
	@$(PY) -m vostok_core.lake.document docs/lake.md

.PHONY: constraints
constraints: $(STAMP) ## pin what is installed now
	@{ head -2 constraints.txt; \
	  $(PY) -m pip freeze --all --exclude-editable --exclude pip; } > constraints.new
	@mv constraints.new constraints.txt
	@touch $(STAMP)

.PHONY: clean
clean: ## remove the environment, caches and builds; the lake stays
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  .import_linter_cache
	@find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
