# `make search` and `make test` set up .venv from constraints.txt on first use; nothing else is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CONFIG ?= configs/search.toml

.PHONY: search test thorough test-all lint tests slow docs optunahub clean

$(BIN)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,dashboard,docs,nasbench201]'
	touch $@

search: $(BIN)/.ready
	$(BIN)/zc-search --config $(CONFIG)

lint: $(BIN)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Bytecode is kept even where the environment says not to: each worker, and each command that a test
# starts, would else compile the same files anew.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -p no:nbmake

tests: $(BIN)/.ready
	$(PYTEST) -n 2 --dist worksteal

# The linters work beside the tests, and say what they have to say after them.
test: $(BIN)/.ready
	@$(MAKE) --no-print-directory lint >$(VENV)/lint.log 2>&1 & linters=$$!; \
	$(MAKE) --no-print-directory tests; tests=$$?; \
	wait $$linters; linters=$$?; cat $(VENV)/lint.log; \
	[ $$tests = 0 ] || echo "the tests failed, see above"; \
	[ $$linters = 0 ] || echo "the linters failed, see above"; \
	[ $$tests = 0 ] && [ $$linters = 0 ]

# What `test` leaves out: notebooks, browsers, databases, kills, and properties with more examples.
# Three at a time, on two cores, since many wait for a process or a page.
thorough: $(BIN)/.ready
	HYPOTHESIS_PROFILE=thorough $(PYTEST) -n 3 --dist worksteal -m "(thorough or hypothesis) and not slow"

test-all: test thorough

slow: $(BIN)/.ready
	$(BIN)/pytest -m slow

# The documentation, into site/; a link that leads nowhere or a public name without docstring fails.
docs: $(BIN)/.ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

# Folders for OptunaHub's registry, into build/optunahub.
optunahub: $(BIN)/.ready
	$(BIN)/python docs/optunahub/assemble.py build/optunahub

clean:
	rm -rf $(VENV) build dist site *.egg-info
