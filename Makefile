# Everything a newcomer needs: `make demo` and `make test` set up .venv by themselves.
# Tried, as pyenv leaves commands of versions that are not chosen.
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do $$python -c '' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test check format clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[train,dev]"
	touch $@

demo: install
	rm -rf demo
	$(BIN)/python tools/demo.py demo

test: install check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest --numprocesses auto tests/skelkit/test_augment*.py tests/skelkit/test_view*.py

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
