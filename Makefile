# Sets up by itself all that it needs: python3 with venv, and the network, are enough.

PYTHON ?= python3
PEER := conda-oci-mirror==0.3.0
# What bench/ measures beside us; py-rattler as in pyproject.toml.
INDEXERS := 'conda-index==0.13.*' 'py-rattler>=0.28,<0.29'
WORKFLOWS := $(wildcard .github/workflows/*.yml) indexer/new_channel/templates/index.yml
# What pytest is given besides, as in: make test ARGS='-k demo'
ARGS ?=

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test lint wheel bench clean registry dnf proxies browser wrk nginx

BIN := .venv/bin
NODE_MODULES := tests/browser/node_modules
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

CAN_APT := [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null
define APT
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends
endef

# $(call NEED,PROGRAM:PACKAGE ...): Debian's packages of the programs that are missing.
define NEED
missing=()
for pair in $(1); do
  command -v "$${pair%%:*}" >/dev/null || missing+=("$${pair#*:}")
done
if [ $${#missing[@]} = 0 ]; then
  exit 0
fi
if $(CAN_APT); then
  echo "Installing Debian's $${missing[*]}"
  $(APT) "$${missing[@]}"
  # Some also start a service, which nobody here asked for.
  for service in docker-registry nginx caddy; do
    if [ -d /run/systemd/system ] && [[ " $${missing[*]} " == *" $$service"* ]]; then
      systemctl disable --now $$service
    fi
  done
else
  echo "Only root with apt-get can install these here: $${missing[*]}" >&2
  echo "What needs them will be skipped. Debian: apt-get install $${missing[*]}" >&2
fi
endef

help:
	@echo "make demo    build packages, push them into a registry in a folder, index them"
	echo "make test    install what the tests need and run them"
	echo "make lint    ruff, mypy; zizmor and a schema for the workflows"
	echo "make wheel   build the wheel and the sdist, and try both in clean environments"
	echo "make bench   measure how fast we are, beside its peers: more than an hour"
	echo "make clean   delete what these made"

demo: .venv/.installed
	@$(BIN)/python -m demo.run

test: .venv/.test .venv-peer/.installed registry dnf proxies $(NODE_MODULES)/.installed
	@$(BIN)/python -m pytest $(ARGS)

lint: .venv/.lint
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/zizmor --quiet --offline --persona=auditor $(WORKFLOWS)
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows $(WORKFLOWS)

# Away from the checkout, so that what is missing in them can't be found there.
wheel: .venv/.build
	@rm -rf dist
	$(BIN)/python -m build --outdir dist .
	place=$$(mktemp -d)
	trap 'rm -rf "$$place"' EXIT
	unset PYTHONPATH
	mkdir "$$place/work"
	cp -R demo "$$place/work/demo"
	for made in "$$PWD"/dist/*.whl "$$PWD"/dist/*.tar.gz; do
	  echo "Trying $${made##*/}"
	  venv="$$place/$${made##*.}"
	  $(PYTHON) -m venv "$$venv"
	  "$$venv/bin/python" -m pip --quiet --disable-pip-version-check install "$$made"
	  (
	    cd "$$place/work"
	    export PATH="$$venv/bin:$$PATH"
	    cf-index --version
	    cf-index init --force channel >/dev/null
	    python -m demo.run
	    python -c 'import indexer, sys; sys.exit(not indexer.__file__.startswith(sys.prefix))'
	    python -c 'from importlib.resources import files; files("indexer").joinpath("py.typed").read_bytes()'
	  )
	done
	echo "Wheel and sdist work."

# All but bench/levels.py, which wants a real repodata.json. The last needs 10 GB of disk.
bench: .venv/.test .venv-bench/.installed .venv-peer/.installed registry browser wrk nginx
	@for name in reading changes rendering verdicts peers clients feed pushing site parts gateway large; do
	  echo "bench.$$name"
	  $(BIN)/python -m bench.$$name
	done

clean:
	@rm -rf .venv .venv-peer .venv-bench .cf-index demo-output dist .coverage
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache $(NODE_MODULES)
	find bench demo indexer tests -name __pycache__ -prune -exec rm -rf {} +

# The load generator that bench/reading.py, changes.py and gateway.py measure by.
wrk:
	@$(call NEED,wrk:wrk)

# What bench/gateway.py measures beside.
nginx:
	@$(call NEED,nginx:nginx-light)

# Programs that the tests start: a real registry, and openssl to make certificates for it; curl and jq,
# which GitHub's machines have, for the steps of the workflow. Where they can't be had, the tests
# say so.
registry:
	@$(call NEED,docker-registry:docker-registry openssl:openssl curl:curl jq:jq)

# dnf, and what makes packages and a repository for it. Where they can't be had, the tests say so.
dnf:
	@$(call NEED,dnf:dnf createrepo_c:createrepo-c rpmbuild:rpm)

# nginx and Caddy, for the gateway behind them, and what reads its systemd unit. Where they can't be
# had, the tests say so.
proxies: nginx
	@$(call NEED,caddy:caddy systemd-analyze:systemd)

# A browser that looks at the site's pages, and node for those that judge them. Where they can't be
# had, the tests say so.
browser:
	@chromium=chromium
	# Chrome will do, which GitHub's machines have.
	if command -v google-chrome >/dev/null; then
	  chromium=google-chrome
	fi
	$(call NEED,$$chromium:chromium node:nodejs npm:npm)

# One stamp for each thing that is installed: made again only when its list changes.
.venv/.pip:
	@echo "Making .venv"
	# Debian has ensurepip in a package of its own.
	if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null && $(CAN_APT); then
	  echo "Installing Debian's python3-venv"
	  $(APT) python3-venv
	fi
	$(PYTHON) -m venv .venv
	# Dependency groups need pip 25.1.
	$(PIP) install --upgrade 'pip>=25.1'
	touch $@

.venv/.installed: pyproject.toml | .venv/.pip
	@echo "Installing cf-index into .venv"
	$(PIP) install --editable .
	touch $@

.venv/.test: pyproject.toml | .venv/.installed
	@echo "Installing what the tests need"
	$(PIP) install --editable '.[gateway]' --group test
	touch $@

.venv/.lint: pyproject.toml | .venv/.test
	@echo "Installing ruff and mypy"
	$(PIP) install --group lint
	touch $@

.venv/.build: | .venv/.pip
	@echo "Installing build"
	$(PIP) install 'build>=1.2'
	touch $@

# Pins its own oras, an old one: it can't share an environment with us.
.venv-peer/.installed: Makefile
	@echo "Installing $(PEER) into .venv-peer"
	$(PYTHON) -m venv .venv-peer
	.venv-peer/bin/python -m pip --quiet --disable-pip-version-check install '$(PEER)'
	touch $@

# Nothing that comes with them is run here.
$(NODE_MODULES)/.installed: tests/browser/package.json tests/browser/package-lock.json | browser
	@if ! command -v npm >/dev/null; then
	  exit 0
	fi
	echo "Installing axe-core and html-validate into $(NODE_MODULES)"
	cd tests/browser
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch node_modules/.installed

.venv-bench/.installed: Makefile
	@echo "Installing conda-index and py-rattler into .venv-bench"
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip --quiet --disable-pip-version-check install $(INDEXERS)
	touch $@
