# Every target is one command in an environment of its own (.venv), which is made first if needed.
# A fresh clone needs python3 (3.11 or newer, with venv) and make; uv is used where it is installed.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PART ?= $(patsubst tests/long/test_%.py,%,$(wildcard tests/long/test_*.py))

.DEFAULT_GOAL := help
.PHONY: help run demo simulate test test-program test-real test-node test-long check bench lock

help: ## Say what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

run: $(READY) ## Start the server, with play money unless configured
	$(BIN)/boltwork serve

demo: $(READY) ## Show a conversation, a payment and a result in the terminal
	$(BIN)/python -m bots.demo

simulate: $(READY) ## Talk to the program with nothing real around it, or play STORY=T03
	$(BIN)/python -m tests.simulator.simulate $(STORY)

test: $(READY) ## Run the tests
	$(BIN)/python -m pytest -n 3 --ignore=tests/process --ignore=tests/stories --ignore=tests/real \
	  --ignore=tests/node --ignore=tests/long

test-program: $(READY) ## Run the tests of the finished program: commands, kills, stops, conversations
	$(BIN)/python -m pytest -n 3 tests/process tests/stories

test-real: $(READY) ## Run the tests against a real LNbits, which is installed for it
	$(BIN)/python -m pytest tests/real

test-node: $(READY) ## Talk on Nostr with nostr-tools, which needs Node and npm
	$(BIN)/python -m pytest tests/node

test-long: $(READY) ## Run the long tests, part after part, or PART=histories alone
	for part in $(PART); do timeout -s INT 1500 $(BIN)/python -m pytest -n 3 tests/long/test_$$part.py || exit; done

check: $(READY) ## Lint, formatting, types and the directions of the imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

bench: $(READY) ## Measure
	$(BIN)/python bench/run.py

lock: ## Resolve the dependencies anew into requirements.lock (needs uv)
	uv pip compile --universal --generate-hashes --no-header --extra postgres --extra speed \
	  --group dev --output-file requirements.lock pyproject.toml

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Boltwork needs Python 3.11 or newer, and this is " + sys.version.split()[0] + ". Say make PYTHON=python3.12 or the like.")'
	{ uv --version >/dev/null 2>&1 && \
	  uv venv --quiet --clear --no-python-downloads --python $(PYTHON) .venv && \
	  uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . ; \
	} || { \
	  $(PYTHON) -m venv --clear .venv && \
	  $(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock && \
	  $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . ; \
	}
	@touch $(READY)
