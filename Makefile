# EMS: a person's front door. `make` alone lists what there is.
#
# The environment is .venv; stamps in it say what is installed, so nothing is installed twice.

VENV  := .venv
BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check
# how many tests run at once
JOBS  ?= auto

.DEFAULT_GOAL := help
.PHONY: help demo test check bench sandbox sandbox-env sandbox-down preview up down rigs docs pin clean
.SUFFIXES:

help:  ## list the targets
	@echo "EMS: an experiment manager for robot-learning research"
	@echo
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 22
	@echo
	@echo "New here? make demo, then README.md and docs/tutorial/first-pipeline.md."

demo: $(BIN)/.demo  ## run the quickstart: first, again, and after one changed line
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/four_rooms/demo.sh

test: $(BIN)/.dev  ## run every test that Python packages alone can run, and the installed rigs'
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

check: $(BIN)/.dev  ## format, lint, types, import layers, links in docs
	@$(BIN)/python .ci/check.py

bench: $(BIN)/.dev  ## measure what README states, beside peers
	@$(BIN)/python -m bench $(ARGS)

sandbox: $(BIN)/.dev  ## a whole sky on this machine, without an account: begin it, or bring it up to date
	@$(BIN)/python -m tests.rigs.sandbox up

sandbox-env: $(BIN)/.dev  ## print what a shell needs to be in it: eval "$(make -s sandbox-env)"
	@$(BIN)/python -m tests.rigs.sandbox env

sandbox-down: $(BIN)/.dev  ## end it, and remove it
	@$(BIN)/python -m tests.rigs.sandbox down

preview: $(BIN)/.dev  ## show what `make up ENV=dev` would change
	@$(BIN)/python -m infra.order preview "$(ENV)" $(ARGS)

up: $(BIN)/.dev  ## deploy an environment: make up ENV=dev (YES=1: ask nothing)
	@$(BIN)/python -m infra.order up "$(ENV)" $(if $(YES),--yes) $(ARGS)

down: $(BIN)/.dev  ## take an environment down: make down ENV=dev
	@$(BIN)/python -m infra.order down "$(ENV)" $(if $(YES),--yes) $(ARGS)

rigs: $(BIN)/.dev  ## install the real counterparts that need more than Python packages
	@$(BIN)/python -m tests.rigs install

docs: $(BIN)/.dev  ## remake docs/reference from the types and commands
	@$(BIN)/python docs/reference/build.py
	@$(BIN)/python -m infra.settings.schema

# A clean environment, so that the pins are what a fresh machine gets and nothing else.
pin: $(BIN)/python  ## remake constraints.txt from the bounds in pyproject.toml
	@rm -rf .cache/pin && $(BIN)/python -m venv .cache/pin
	@.cache/pin/bin/python -m pip --disable-pip-version-check install --quiet '.[$(DEV_EXTRAS)]'
	@{ echo "# What demo, tests and checks were run with. Remade by: make pin"; \
	   .cache/pin/bin/python -m pip freeze --exclude emsctl; } > .cache/constraints.txt
	@mv .cache/constraints.txt constraints.txt && rm -rf .cache/pin
	@echo "constraints.txt: $$(grep -c == constraints.txt) packages"

clean:  ## remove the environment, caches and what demo, rigs and bench built
	@[ ! -d .sandbox ] || $(BIN)/python -m tests.rigs.sandbox down
	rm -rf $(VENV) .cache .rigs .bench build dist .pytest_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache sdk/*.egg-info
	find sdk tests docs examples bench .ci -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# ------------------------------------------------------------------------------- environment
DEV_EXTRAS := demo,arrow,aws,ray,kubernetes,infra,dev

$(BIN)/python:
	@for p in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	  if "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	      >/dev/null 2>&1; then \
	    echo "environment: $(VENV), made by $$p ($$("$$p" -V 2>&1))"; \
	    exec "$$p" -m venv $(VENV); \
	  fi; \
	done; \
	echo "make: no Python 3.11 or later with the venv module on the PATH." >&2; \
	echo "Try: apt install python3 python3-venv, or make PYTHON=/path/to/python3.12" >&2; \
	exit 2

$(BIN)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "environment: installing EMS and what the quickstart needs"
	@$(PIP) install --quiet -c constraints.txt -e '.[demo]'
	@touch $@

$(BIN)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "environment: installing EMS and what tests and checks need"
	@$(PIP) install --quiet -c constraints.txt -e '.[$(DEV_EXTRAS)]'
	@touch $(BIN)/.demo $@
