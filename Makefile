# Two commands do everything on a fresh machine: `make run` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint bench setup clean

run: setup
	$(BIN)/squeezebert-edge run default --out out/default

test: setup lint
	$(BIN)/pytest --numprocesses 2 --dist worksteal -m "not slow"

# What BENCHMARKS.md quotes; on a machine that does nothing else.
bench: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/export_cost.py
	$(BIN)/squeezebert-edge export default --to tflite --to executorch --precision int8 --out out/bench --force
	$(BIN)/python benchmarks/measuring_cost.py out/bench/tflite-int8 out/bench/executorch-int8
	$(BIN)/python -m benchmarks.tokenizing

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(VENV)/ready

# The stamp is written last, so an interrupted set-up is finished by the next one.
$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "squeezebert-edge needs Python 3.11 to 3.13; choose one with: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	touch $@

clean:
	rm -rf $(VENV) out build dist *.egg-info
