# Everything a user or a developer types. `make help` lists the commands.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 3000
# Those that take minutes; the one that runs the whole demo twice has a target of its own.
BENCH ?= $(filter-out orchestration,$(basename $(notdir $(wildcard benchmarks/*.py))))
# Files of tests at once. Much of the live tests is waiting; a worker with a real model needs 4 GB.
TEST_WORKERS ?= 2
RECIPE := $(or $(RECIPE),$(HUMPBACK_RECIPE),demo)
export DAGSTER_HOME ?= $(CURDIR)
export HUMPBACK_RECIPE := $(RECIPE)
export PYTHONUNBUFFERED = 1
# OpenMP's threads wait by spinning; beside any other busy process that slows CPU work tenfold.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help setup demo run ablations benchmarks ui judge screenshots test test-quick lint format bench bench-orchestration preflight clean

help:  ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 21

setup: $(VENV)/.installed  ## Create .venv and install the pinned versions (CPU)

$(VENV)/.installed: requirements/cpu.lock pyproject.toml
	@bash requirements/install.sh "$(PYTHON)" "$(VENV)"
	@touch $@

demo: setup  ## The whole graph on the bundled sample, then a summary
	@$(BIN)/python -m humpback_pipeline run --recipe demo

run: setup  ## The whole graph with RECIPE=name-or-file, in one Dagster run
	@$(BIN)/python -m humpback_pipeline run --recipe "$(RECIPE)"

ablations: setup  ## Train and judge the variants that RECIPE declares, after `make run`
	@$(BIN)/python -m humpback_pipeline run --job ablations --recipe "$(RECIPE)"

benchmarks: setup  ## Benchmarks, safety and bias of all models, as RECIPE names them, after `make run`
	@$(BIN)/python -m humpback_pipeline run --job benchmarks --recipe "$(RECIPE)"

preflight: setup  ## Check RECIPE and all it names, without running anything
	@$(BIN)/python -m humpback_pipeline preflight --recipe "$(RECIPE)"

ui: setup  ## Open the Dagster UI on the same instance (http://127.0.0.1:3000)
	@$(BIN)/python -m humpback_pipeline ui --recipe "$(RECIPE)" --port $(PORT)

judge: setup  ## Judge blinded pairs of answers in the browser; ANNOTATOR=name, JUDGE_PORT=3002
	@$(BIN)/python -m humpback_pipeline judge --recipe "$(RECIPE)" --port $(or $(JUDGE_PORT),3002) --annotator "$(ANNOTATOR)"

screenshots: setup  ## Take the README's pictures again from the run that is here (needs Chromium)
	@$(BIN)/python docs/screenshots.py

test: setup  ## All tests, with real vLLM and real training steps
	@$(BIN)/python -m pytest humpback_pipeline_tests -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder --durations=15

test-quick: setup  ## Tests that load no real model
	@$(BIN)/python -m pytest humpback_pipeline_tests -m "not slow"

lint: setup  ## Ruff, formatting and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: setup  ## Let ruff mend and format
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: setup  ## Benchmarks, each side by side with a peer; BENCH="corpus training" for some
	@for name in $(BENCH); do \
		echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; \
	done

bench-orchestration:  ## What Dagster costs: the whole demo twice, about twenty minutes
	@$(MAKE) --no-print-directory bench BENCH=orchestration

clean:  ## Remove the run data here and Dagster's instance folders; keep .venv
	rm -rf .humpback history schedules storage logs .logs_queue .nux .telemetry
