# make quickstart | make paper-smoke | make test | make test-all | make test-slurm | make browser | make lint | make lab |
# make docs
# Requires Python 3.11 or later, pip, make and git. Everything else is installed into .venv, once.

PYTHON ?= python3
PIP_OPTIONS ?=
LAB_OPTIONS ?=
# Linux without an NVIDIA GPU: PyTorch's CPU build, as PyPI's brings gigabytes of CUDA. `make … TORCH_INDEX=` prevents it.
TORCH_INDEX ?= $(if $(PIP_OPTIONS),,$(shell test "$$(uname -s)" = Linux && ! nvidia-smi -L >/dev/null 2>&1 \
	&& echo https://download.pytorch.org/whl/cpu))
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# In a call of its own, so that no other package waits for that index; where it fails, the next call finds a torch.
TORCH_ALONE = $(BIN)/python -m pip install --quiet --index-url $(TORCH_INDEX) --timeout 15 --retries 0 --no-deps \
	$$(grep ^torch== requirements.lock) || echo "$(TORCH_INDEX) has no torch for this machine: trying the usual index"
# The examples in docstrings, except in the engine, which papermill imports, and in a script that runs as a process.
DOCTEST := $(BIN)/python -m pytest -q --doctest-modules fitlib \
	--ignore=fitlib/execution/kernels/papermill_engine.py --ignore=fitlib/execution/kernels/fork_server.py

.PHONY: quickstart paper-smoke test test-all test-slurm browser lint lab docs clean

quickstart: $(READY)
	$(BIN)/fitlib run params/quickstart.yaml
	@echo "open outputs/quickstart/report.html"

# All 27 techniques end to end, two runs each, with almost no training: about 12 minutes on two cores. Data:
# FITLIB_DATA_DIR, see the head of the experiment file.
paper-smoke: $(READY)
	$(BIN)/fitlib run params/paper-smoke.yaml
	@echo "open outputs/paper-smoke/index.html"

test: $(READY)
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow"
	$(DOCTEST)

test-all: $(READY)
	$(BIN)/python -m pytest -q -n auto --dist loadfile
	$(DOCTEST)

# Chromium and axe-core for the tests of pages in a real browser, which are skipped without them. Needs root to install
# Chromium; otherwise it prints the command.
browser: $(READY)
	tests/support/browser.sh

# Starts a real SLURM in a temporary folder. On Debian: apt-get install slurmctld slurmd munge slurm-client
test-slurm: $(READY)
	$(BIN)/python -m pytest -q tests/slurm

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check fitlib tests benchmarks docs/conf.py docs/_ext
	$(BIN)/codespell fitlib docs params benchmarks notebooks *.md
	$(BIN)/mypy
	$(BIN)/lint-imports

# JupyterLab on the whole project, so that links from notebooks to outputs/ work. LAB_OPTIONS are passed to jupyter lab.
lab: $(READY)
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks/explore.ipynb $(LAB_OPTIONS)

# The documentation as pages, build/docs/index.html; warnings and dead links are errors.
docs: $(READY)
	$(BIN)/sphinx-build -W --keep-going -q -E -b html -d build/doctrees docs build/docs
	@echo "open build/docs/index.html"

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis *.egg-info

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"fitlib needs Python 3.11 or later, this is {v[0]}.{v[1]}: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(TORCH_ALONE))
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	$(BIN)/jupyter kernelspec install kernelspec --name fitlib --sys-prefix
	touch $(READY)
