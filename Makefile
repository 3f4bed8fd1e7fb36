# Everything runs in .venv, which the first target that needs it sets up; `make` alone prints what there is to make.

# What a call may give, as in `make test ARGS="-k mixture"`; variables of the environment are not meant.
ARGS :=
DATA :=
PATIENT :=
LABEL :=
REP :=
NAME :=
PYTHON :=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install -qq -c constraints.txt
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
READY_DOC := $(VENV)/.ready-doc
VENV_BENCH := .venv-bench
READY_BENCH := $(VENV_BENCH)/.ready
UNFINISHED := $(VENV)/.unfinished

SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_USER := 0
# Modules of another Python would shadow those of .venv.
unexport PYTHONHOME PYTHONPATH

ifdef DATA
ifeq ($(and $(PATIENT),$(LABEL)),)
$(error make demo DATA=cohort.h5ad also needs PATIENT=… and LABEL=…, the columns of obs that hold patient and label)
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help venv demo test coverage lint docs notebooks bench bench-mil evidence trust wheel floors release-check clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s  %s\n", $$1, $$2 }' Makefile

venv: $(READY) ## set up .venv, once: PYTHON=/path/to/python names the interpreter

# "$$DATA" and its like reach the shell through the environment, so that spaces and quotes in them stay what they are.
demo: $(READY) ## augment a public cohort, or yours: DATA=cohort.h5ad PATIENT=patient LABEL=label [REP=X_pca]
ifndef DATA
	@MPLBACKEND=Agg $(VENV)/bin/repatient demo demo --overwrite $(ARGS)
else
	@mkdir -p demo
	@name=$${DATA%/}; name=$${name##*/}; \
	MPLBACKEND=Agg $(VENV)/bin/repatient augment "$$DATA" "demo/$${name%.*}.augmented.h5ad" \
	    --patient-key "$$PATIENT" --label-key "$$LABEL" $(if $(REP),--use-rep "$$REP") --figures demo --overwrite $(ARGS)
endif

# A process a core, each with one thread: more threads than cores make every test slower.
PYTEST := MPLBACKEND=Agg OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile

test: $(READY) ## run the tests: ARGS="-k mixture" for some of them
	@$(PYTEST) $(ARGS)

coverage: $(READY) ## the same with their coverage, which takes a third longer; below 90 % it fails
	@$(PYTEST) --cov=repatient --cov-report=term --cov-fail-under=90 $(ARGS)

lint: $(READY_DEV) ## check style, format and types
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy

docs: $(READY_DOC) ## build the site into docs/_build/html; a warning is an error
	@rm -rf docs/_generated
	@MPLBACKEND=Agg OMP_NUM_THREADS=1 $(PY) -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# The kernel draws into the notebook only if no other backend is asked for.
notebooks: $(READY) ## execute notebooks/*.ipynb in place
	@env -u MPLBACKEND $(PY) -c 'from nbclient.cli import main; main()' --inplace notebooks/*.ipynb

bench-mil: $(READY) ## run the sanity benchmark of rp.tl.mil
	@$(PY) benchmarks/mil_sanity.py $(ARGS)

# Ratios against peers, which live in an environment of their own; a peer that does not install is left out with a word.
bench: $(READY_BENCH) ## measure speed against peers and write docs/benchmarks: an hour, or NAME=draws for one
	@$(VENV_BENCH)/bin/python benchmarks/pages.py $(or $(NAME),speed) -- $(ARGS)

evidence: $(READY) ## measure on real cohorts what the methods gain and write docs/benchmarks: hours, or NAME=realism for one
	@$(PY) benchmarks/pages.py $(or $(NAME),evidence) -- $(ARGS)

trust: $(READY) ## test on 1,000 random cohorts a function, 3,000 files with fitting checksums, 50 kills of each kind of write
	@MPLBACKEND=Agg OMP_NUM_THREADS=1 REPATIENT_TRUST=1000 $(PY) -m pytest tests/trust --timeout=0 --numprocesses=logical --maxprocesses=4 $(ARGS)

wheel: ## build the package, install it alone elsewhere and run its tests there: ARGS="tests/recipe" for some
	@.github/scripts/test_wheel.sh $(ARGS)

floors: ## run the tests with the oldest versions that pyproject.toml allows
	@PYTHON="$(or $(PYTHON),python3.11)" .github/scripts/test_floors.sh $(ARGS)

# The notebooks are executed as copies, so that a release leaves the working tree as it is: NOTEBOOKS= leaves them out.
NOTEBOOKS := notebooks/*.ipynb

release-check: $(READY_DOC) ## all that is done before a release: build, wheel alone, licences, SBOM, docs, notebooks
	@$(MAKE) --no-print-directory lint
	@.github/scripts/release_check.sh
	@$(MAKE) --no-print-directory docs
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && for notebook in $(NOTEBOOKS); do \
	    echo "## $$notebook" && cp "$$notebook" "$$folder/" && \
	    env -u MPLBACKEND $(PY) -c 'from nbclient.cli import main; main()' --inplace "$$folder/$${notebook##*/}" || exit 1; \
	done

clean: ## remove demo/, caches and build products; .venv stays
	@rm -rf demo build dist docs/_build docs/_generated htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -path ./$(VENV) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# A .venv that was moved here runs the sources of its old folder, so READY names the folder that it is for; one whose
# interpreter is gone runs nothing.
ifneq ($(shell test -x $(PY) && cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

# An environment without a working pip, of another Python or whose installation was killed is begun anew.
# torch comes first, on its own, so that nothing but the constraint decides which build is taken.
$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once, a few minutes)…"
	@if test -e $(UNFINISHED) || ! $(PY) -c '$(SUITABLE)' 2>/dev/null || ! $(PY) -m pip --version >/dev/null 2>&1; then \
	    for python in $(or $(PYTHON),python3 python3.11 python3.12 python3.13 python3.14 python); do \
	        "$$python" -c 'import ensurepip, venv; $(SUITABLE)' 2>/dev/null && break; \
	        python=; \
	    done; \
	    if test -z "$$python"; then \
	        echo "repatient needs Python 3.11 to 3.14 with its venv module; name one: make PYTHON=/path/to/python" >&2; \
	        exit 1; \
	    fi; \
	    "$$python" -m venv --clear $(VENV) || exit 1; \
	fi
	@touch $(UNFINISHED)
	@{ $(PIP) --upgrade pip && $(PIP) torch && $(PIP) --editable . --group test; } || \
	    { test $$? -gt 128 || rm $(UNFINISHED); exit 1; }
	@rm $(UNFINISHED)
	@echo "$(CURDIR)" > $@

$(READY_DEV): $(READY)
	@echo "Adding ruff, mypy and pre-commit to $(VENV)…"
	@$(PIP) --group dev
	@touch $@

$(READY_DOC): $(READY)
	@echo "Adding sphinx to $(VENV)…"
	@$(PIP) --group doc
	@touch $@

$(READY_BENCH): $(READY)
	@echo "Setting up $(VENV_BENCH), with the peers (once, a few minutes)…"
	@$(PY) -m venv --clear $(VENV_BENCH)
	@$(VENV_BENCH)/bin/python -m pip install -qq -c constraints.txt --upgrade pip
	@$(VENV_BENCH)/bin/python -m pip install -qq -c constraints.txt torch
	@$(VENV_BENCH)/bin/python -m pip install -qq -c constraints.txt --editable '.[dask]'
	@for peer in torchgmm torchmil; do \
	    $(VENV_BENCH)/bin/python -m pip install -qq -c constraints.txt $$peer || echo "$$peer does not install here; its rows are left out."; \
	done
	@touch $@
