# `make` alone lists what there is. ARGS="…" is passed on: make serve ARGS="--listen 127.0.0.1:5001".
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help serve test lint fmt bench conformance clients venv lock wheels image clean

PYTHON ?=
ARGS ?=
IMAGE ?= cargohold
BASE_IMAGE ?=
DOCKER ?= docker
ARCH ?= $(shell uname -m)

VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
PROJECT := pyproject.toml registry/__init__.py

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.runtime ## Run the registry on 127.0.0.1:5000 with its data in ./data
	@exec $(VENV)/bin/cargohold serve $(ARGS)

test: $(VENV)/.dev ## Run every test that this machine can run; name those that it cannot
	@scripts/test $(ARGS)

lint: $(VENV)/.dev ## Check style, types and the direction of imports
	@scripts/lint

fmt: $(VENV)/.dev ## Put the code into its form
	@$(VENV)/bin/ruff check --quiet --fix-only .
	@$(VENV)/bin/ruff format --quiet .

bench: $(VENV)/.dev ## Measure against a peer, side by side
	@$(VENV)/bin/python -m benchmarks $(ARGS)

conformance: $(VENV)/.dev ## Run the distribution-spec's own suite
	@scripts/conformance $(ARGS)

clients: $(VENV)/.dev ## Run docker, podman, skopeo, crane, oras and regctl against the registry
	@scripts/clients $(ARGS)

venv: $(VENV)/.dev ## Make the virtual environment with everything that the commands above need

lock: $(VENV)/.dev ## Choose the newest versions of all dependencies and write the lock files
	@$(PIP) install uv
	@scripts/lock $(ARGS)

wheels: $(VENV)/.runtime ## Gather in dist/wheels what an image needs, to build it without a network
	@rm -rf dist/wheels
	@for version in 3.11 3.12 3.13; do \
		$(PIP) download --no-deps --only-binary :all: --require-hashes --dest dist/wheels --python-version $$version \
			--platform manylinux_2_28_$(ARCH) --platform manylinux_2_17_$(ARCH) --platform manylinux2014_$(ARCH) \
			-r requirements.lock -r requirements-build.lock; \
	done

image: wheels ## Build the container image; BASE_IMAGE=… to build it on another base
	@$(DOCKER) build --tag $(IMAGE) $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) $(ARGS) .

clean: ## Remove what the commands above made, but ./data
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# A stamp is newer than the locks that it was installed from, so that a second `make serve` starts at once.
$(VENV)/bin/python:
	@scripts/make_venv $(VENV) $(PYTHON)

$(VENV)/.runtime: $(VENV)/bin/python requirements.lock requirements-build.lock $(PROJECT)
	@echo "installing Cargohold into $(VENV)"
	@$(PIP) install --require-hashes -r requirements.lock -r requirements-build.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@echo "installing the tools for tests and checks into $(VENV)"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
