# make run    environment, weights, corpus, then the main job: configs/runs/newsgroups.yaml
# make test   environment and the whole test suite
# make docs   environment and the reference from docstrings, in docs/reference
# make fuzz   the same, then a million malformed inputs to every reader: half an hour on one free core
# make torture  the same, then hundreds of kills, other faults and damaged files: an hour
#
# Needs Python 3.11 or newer with venv and pip, and the package registries the first time.
# PYTHON=python3.12 make run chooses the interpreter.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
REFERENCE := loops.api.run loops.api.views loops.api.classifier loops.api.attach loops.config loops.records loops.checkpoint.store \
	agent.errors agent.types agent.concept agent.steering.vector agent.language_model.adapter
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test docs fuzz torture
.DELETE_ON_ERROR:

# Through -m, so that both still work when the folder has been moved.
run: $(VENV)/ready
	@$(VENV)/bin/python -m loops.cli run configs/runs/newsgroups.yaml

test: $(VENV)/ready-test
	@OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(VENV)/bin/python -m pytest -n 2 --dist loadfile

docs: $(VENV)/ready-test
	@$(VENV)/bin/python -m pdoc --docformat google --no-show-source -o docs/reference $(REFERENCE)
	@echo "Reference: docs/reference/index.html"

fuzz: $(VENV)/ready-test
	@OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(VENV)/bin/python -m benchmarks.fuzz --inputs 1000000

# On one thread each: what is compared are bytes, and what is timed are kills.
torture: $(VENV)/ready-test
	@OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(VENV)/bin/python -m benchmarks.torture

$(VENV)/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Basin needs Python 3.11 or newer: install one, or name it with PYTHON=..."; exit 1; }
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || \
		{ echo "Making a Python environment in $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing Basin and its libraries into $(VENV): once, 2 to 10 minutes, most of it the download of torch"
	@$(PIP) --editable '.[plots]'
	@touch $@

$(VENV)/ready-test: $(VENV)/ready
	@echo "Installing the test tools into $(VENV): once, less than a minute"
	@$(PIP) --editable '.[test]'
	@touch $@
