# Thin: each target prepares what it needs (.ci/prepare, at once when nothing changed), then calls one tool.
PYTHON_BIN := .venv/bin/python
TEST_FOLDERS := $(wildcard $(addprefix tests/,unit contract golden wire integration dags fault ui docs conformance model))
DEMO := $(PYTHON_BIN) -m airflow_provider_pacs.sandbox.demo $(if $(SIZE),--size $(SIZE)) $(if $(PROFILE),--profile $(PROFILE)) $(if $(COUNTIES),--counties $(COUNTIES))

# Each has a PostgreSQL and a sandbox of its own; a file's tests stay together.
WORKERS := 2

.DEFAULT_GOAL := help
.PHONY: help prepare comparison prepare-browser scriptdom demo ui test test-all check page audit cases bench mutants wheel clean

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/\1|\2/p' Makefile | while IFS='|' read -r name text; do printf '  make %-9s %s\n' "$$name" "$$text"; done

prepare:  ## system libraries and .venv, once
	@.ci/prepare

scriptdom: prepare  ## Microsoft's T-SQL parser for the tests, once
	@$(PYTHON_BIN) .ci/scriptdom

prepare-browser:
	@.ci/prepare --browser

demo: prepare  ## a county through real Airflow into PostgreSQL, then one table (SIZE=tiny|seed|benton, PROFILE=generic|harris_pacs_9, COUNTIES=3, ARGS=...)
	$(DEMO) $(ARGS)

ui: prepare  ## the same, and leave Airflow running
	$(DEMO) --keep $(ARGS)

test: prepare-browser scriptdom  ## all tests but the slow ones (ARGS="-k publish")
	$(PYTHON_BIN) -m pytest -m "not slow" -n $(WORKERS) --dist loadfile $(TEST_FOLDERS) $(ARGS)

comparison: prepare  ## a kept comparison tool in an environment of its own, for the slow tests
	@$(PYTHON_BIN) .ci/comparison

test-all: prepare-browser scriptdom comparison  ## all tests
	$(PYTHON_BIN) -m pytest tests $(ARGS)

check: prepare  ## ruff, mypy --strict, import contracts, unit tests: under a minute
	$(PYTHON_BIN) -m ruff check .
	$(PYTHON_BIN) -m ruff format --check .
	$(PYTHON_BIN) -m mypy
	.venv/bin/lint-imports
	$(PYTHON_BIN) .ci/page check
	$(PYTHON_BIN) -m pytest -m "not slow and not lint" tests/unit $(ARGS)

page: prepare  ## the page's bundle, from monitor/www: types of the API, ESLint, Vitest, Vite
	$(PYTHON_BIN) .ci/page build

audit: prepare  ## known faults of what is installed (asked of PyPI; ARGS=--service=osv), altered files, bounds, secrets, the wheel's bill of materials
	$(PYTHON_BIN) .ci/audit $(ARGS)

cases: prepare  ## docs/correctness.md, from the docstrings of the tests
	$(PYTHON_BIN) tests/cases.py

bench: prepare  ## figures for build/bench/*.json
	$(PYTHON_BIN) tests/benchmarks/run.py $(ARGS)
	$(PYTHON_BIN) tests/benchmarks/page.py
	$(PYTHON_BIN) tests/benchmarks/realtime.py
	$(PYTHON_BIN) tests/benchmarks/history.py

mutants: prepare  ## do the tests notice when the code is broken on purpose?
	$(PYTHON_BIN) tests/mutants/run.py $(ARGS)

wheel: prepare  ## dist/*.whl
	$(if $(wildcard /etc/ssl/certs/ca-certificates.crt),UV_SYSTEM_CERTS=1) .venv/bin/uv build --quiet --wheel --out-dir dist

clean:  ## remove what was built; .venv stays
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find airflow_provider_pacs dags tests -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
