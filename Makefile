# `make search` and `make test` set up .venv from constraints.txt on first use; nothing else is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CONFIG ?= configs/search.toml

.PHONY: search test test-all lint slow clean

$(BIN)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,dashboard,nasbench201]'
	touch $@

search: $(BIN)/.ready
	$(BIN)/zc-search --config $(CONFIG)

lint: $(BIN)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: $(BIN)/.ready lint
	$(BIN)/pytest -n 2 --dist worksteal

# Everything that `test` leaves out for its five minutes.
test-all: $(BIN)/.ready lint
	HYPOTHESIS_PROFILE=thorough $(BIN)/pytest -n 2 --dist worksteal -m "not slow"

slow: $(BIN)/.ready
	$(BIN)/pytest -m slow

clean:
	rm -rf $(VENV) build dist *.egg-info
