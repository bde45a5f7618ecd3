# make run    the viewer on demo studies       (HOST=127.0.0.1 PORT=8000 STUDIES=demo)
# make test   the whole test suite             (ARGS="-m 'not slow'" for a quick one, WORKERS=0 for one process)
# make lint   ruff, mypy, and whether docs/api.md is what the docstrings say
# make api    write docs/api.md from the docstrings
# make lock   renew requirements.lock
HOST ?= 127.0.0.1
PORT ?= 8000
STUDIES ?= demo
ARGS ?=
WORKERS ?= 2
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
UV := $(BIN)/uv pip
# commands that the tests drive, and the Debian packages that hold them (libatomic1: for Playwright's driver)
TEST_COMMANDS := chromium dciodvfy dcmdjpeg Orthanc
TEST_PACKAGES := chromium dicom3tools dcmtk fonts-dejavu-core libatomic1 orthanc orthanc-dicomweb orthanc-gdcm

.PHONY: run test lint api lock demo clean install test-tools
.DEFAULT_GOAL := run

run: demo
	@exec $(BIN)/monai-tavr serve --studies $(STUDIES) --host $(HOST) --port $(PORT)

# Only the default folder is filled: a folder named by the user is served as it is.
demo: $(INSTALLED)
ifeq ($(STUDIES),demo)
	@test -f demo/datalist.json || $(BIN)/monai-tavr phantom --preset demo --out demo
endif

test: $(INSTALLED) test-tools
	PATH="$$PATH:/usr/sbin" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/make_api.py --check

api: $(INSTALLED)
	$(BIN)/python docs/make_api.py

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed: set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory python-venv
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	$(UV) sync --quiet requirements.lock
	$(UV) install --quiet --no-deps --editable .
	@touch $@

# Debian splits venv from python3; install it where we may, else say what is missing.
.PHONY: python-venv
python-venv:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; \
	else echo "Python's venv module is missing: install the package python3-venv (sudo apt-get install python3-venv)"; exit 1; fi

test-tools:
	@missing=; export PATH="$$PATH:/usr/sbin"; for c in $(TEST_COMMANDS); do command -v $$c >/dev/null || missing="$$missing $$c"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(TEST_PACKAGES) >/dev/null; \
	  else echo "The tests need$$missing: sudo apt-get install $(TEST_PACKAGES)"; exit 1; fi; fi

lock: $(INSTALLED)
	$(UV) compile pyproject.toml --all-extras --upgrade --python-version 3.11 --no-header --no-annotate --no-emit-index-url --output-file requirements.lock

clean:
	rm -rf $(VENV) demo demo-labels build dist .pytest_cache .mypy_cache .ruff_cache
