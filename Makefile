# `make help` lists the targets. Nothing has to be installed first but Python 3.11 and make.
.DEFAULT_GOAL := help
.PHONY: help setup setup-system demo up test test-nightly check bench clean

BIN := .venv/bin

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## create or update .venv and var/airflow.env (fast when nothing changed)
	@bin/setup

setup-system: ## as root: install the servers that tests start (apt); starts none of them
	@bin/setup system

demo: ## a platform, an incident on it, and what the chain sees: ends by itself
	@bin/setup nginx
	@bin/setup
	@$(BIN)/python -m demo

up: ## the same, and Airflow keeps running: prints its address and login; Ctrl-C ends it
	@bin/setup nginx
	@bin/setup
	@$(BIN)/python -m demo --up

test: ## set-up, checks and all tests, cheapest first
	@bin/setup system
	@bin/setup
	@$(MAKE) --no-print-directory check
	@bin/test

test-nightly: ## the tests that are too long for every push
	@bin/setup system
	@bin/setup
	@bin/test nightly

check: ## lint, format, types, and the arrows between packages
	@bin/setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: ## measure against peers; takes minutes and an idle machine
	@bin/setup
	@$(BIN)/python -m benchmarks

clean: ## remove caches and build results; keeps .venv and var (the databases)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
