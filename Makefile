# Every target does its own set-up. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JS := tests/flows/js
JS_STAMP := $(JS)/node_modules/.installed
.DEFAULT_GOAL := help
.PHONY: help setup demo run test lint types docs check demo-spire test-live test-browser test-proxies test-packaging test-alerts bench lock audit clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): requirements.txt requirements-otel.txt requirements-dev.txt pyproject.toml
	@test -x $(BIN)/python || { echo "making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the locked dependencies into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt -r requirements-otel.txt -r requirements-dev.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

# oauth4webapi, a client that the tests of flows run. Without npm they skip, and say so.
$(JS_STAMP): $(JS)/package.json $(JS)/package-lock.json
	@if command -v npm >/dev/null; then echo "installing the locked client of $(JS)"; \
	  npm ci --prefix $(JS) --silent --ignore-scripts && touch $(JS_STAMP); \
	else echo "no npm on this machine: the tests with oauth4webapi will be skipped"; fi

setup: $(STAMP) ## make .venv with the locked dependencies

demo: $(STAMP) ## the main job against an embedded SPIFFE authority; ends by itself
	@$(BIN)/python -m bridge.cli.demo

run: $(STAMP) ## the demo's authority and service kept up until Ctrl-C
	@$(BIN)/python -m bridge.cli.demo --keep

test: lint types $(STAMP) $(JS_STAMP) ## lint, types, and the whole suite but the live, browser and proxy tests
	@$(BIN)/python -m pytest tests --ignore=tests/live --ignore=tests/browser --ignore=tests/proxies -n 2 --dist loadgroup

lint: $(STAMP) ## ruff: rules and formatting
	@$(BIN)/ruff check bridge tests spire-dev
	@$(BIN)/ruff format --check bridge tests spire-dev

types: $(STAMP) ## mypy, strict
	@$(BIN)/mypy

docs: $(STAMP) ## write anew what is generated from the code: error reference, schema of policy files
	@$(BIN)/python -m bridge.advice.reference > docs/errors.md
	@$(BIN)/python -m bridge.policy.schema > policies/schema.json

demo-spire: $(STAMP) ## the main job on a real SPIRE server and agent (needs Go)
	@spire-dev/build.sh
	@$(BIN)/python -m tests.live.demo

test-live: $(STAMP) ## the live tests on a real SPIRE server and agent (needs Go)
	@spire-dev/build.sh
	@$(BIN)/python -m pytest tests/live

test-browser: $(STAMP) ## the pages in a real Chromium, with pictures in build/browser (Debian's packages)
	@tests/browser/install.sh
	@$(BIN)/python -m pytest tests/browser

test-proxies: $(STAMP) ## the service behind real nginx and HAProxy (Debian's packages)
	@tests/proxies/install.sh
	@$(BIN)/python -m pytest tests/proxies

test-packaging: $(STAMP) ## the systemd units and the container's files (Debian's packages)
	@tests/packaging/install.sh
	@$(BIN)/python -m pytest tests/packaging

test-alerts: $(STAMP) ## the alert rules in Prometheus's own engine (Debian's packages)
	@tests/unit/observe/install.sh
	@$(BIN)/python -m pytest tests/unit/observe/test_promtool.py

bench: $(STAMP) ## the figures: speed and memory, with a table at the end (BENCH=--help lists options)
	@$(BIN)/python -m tests.bench $(BENCH)

lock: $(STAMP) ## renew the lock files
	@$(BIN)/pip-compile -q --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe -o requirements.txt pyproject.toml
	@$(BIN)/pip-compile -q --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe -c requirements.txt --extra otel -o requirements-otel.txt pyproject.toml
	@$(BIN)/pip-compile -q --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe -o requirements-dev.txt requirements-dev.in
	@sed -n '/^setuptools==/,/^ *# via/p' requirements-dev.txt > requirements-build.txt

audit: $(STAMP) ## known vulnerabilities of the locked dependencies
	@$(BIN)/pip-audit --require-hashes -r requirements-otel.txt

clean: ## remove what the targets made
	@rm -rf $(VENV) $(JS)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info .demo .bench
