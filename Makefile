# `make demo` and `make test` need Python 3.11 or newer, git and make; they set up all the rest.
# `make help` lists the targets.

# The Python that makes the environment; `make test PYTHON=python3.12` takes another.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --constraint constraints.txt
# More arguments for pytest and the two scripts: make test ARGS="tests/test_packaging.py -x".
ARGS ?=

SYSTEM := $(shell uname -s)
# The tests always draw in a virtual X server on Linux: the same on a desk and on a server, and
# no window gets in the way of the person at the desk.
ifeq ($(SYSTEM),Linux)
XVFB := env -u WAYLAND_DISPLAY QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1 \
	xvfb-run -a -s "-screen 0 1600x1000x24"
endif

# With nobody to look at a window, the demo writes pictures instead.
UNATTENDED := $(CI)
ifeq ($(SYSTEM)$(DISPLAY)$(WAYLAND_DISPLAY),Linux)
UNATTENDED := yes
endif

export QT_API := pyside6

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint types contracts evaluate benchmark reading torture constraints clean \
	system-for-tests system-for-demo

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

demo: system-for-demo $(VENV)/.installed ## Show the sample CT's attention (no display: into demo_output/)
ifeq ($(UNATTENDED),)
	$(BIN)/napari-hirescam demo
else
	$(XVFB) $(BIN)/napari-hirescam demo --out demo_output
endif

# Two processes share the files; threads that wait must not keep a core from the other process.
test: system-for-tests $(VENV)/.installed ## Run the whole test suite and print its coverage
	OMP_WAIT_POLICY=PASSIVE $(XVFB) $(BIN)/python -m pytest --numprocesses 2 --dist loadfile \
		--cov --cov-report=term-missing:skip-covered $(ARGS)

lint: $(VENV)/.with-dev ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.with-dev ## Check the types
	$(BIN)/mypy

contracts: $(VENV)/.with-dev ## Check which room may import which
	$(BIN)/lint-imports

evaluate: $(VENV)/.with-dev ## Measure the sample model on phantoms it has not seen
	$(BIN)/napari-hirescam evaluate --model sample_data/phantom_axialnet --phantoms 40 \
		--out evaluation_output --overwrite $(ARGS)

benchmark: $(VENV)/.with-bench ## Time and weigh the attention engine against its peers
	$(BIN)/python benchmarks/attention.py $(ARGS)

reading: $(VENV)/.with-bench ## Time and weigh the readers against their peers
	$(BIN)/python benchmarks/reading.py $(ARGS)

torture: $(VENV)/.with-bench ## Put the awkward files to the peers; print the table of docs/reading.md
	$(BIN)/python benchmarks/torture.py $(ARGS)

clean: ## Remove what builds, tests and the demo left behind (not .venv)
	rm -rf build dist demo_output evaluation_output htmlcov .coverage coverage.xml
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find napari_hirescam tests benchmarks sample_data -type d -name __pycache__ \
		-prune -exec rm -rf {} + 2>/dev/null || true

system-for-tests:
	@.ci/system-packages --python "$(PYTHON)"

system-for-demo:
	@.ci/system-packages --python "$(PYTHON)" $(if $(UNATTENDED),,--display)

# torch goes first and alone, so that nothing later can choose another one.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is not Python 3.11 or newer; name one: make PYTHON=python3.12" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) cannot make environments; on Debian: apt-get install python3-venv" >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable '.[pyside6,test]'
	@touch $@

$(VENV)/.with-%: $(VENV)/.installed
	$(PIP) --editable '.[$*]'
	@touch $@

# pytorch-grad-cam asks for torchvision, which would bring a torch of its own choice; the
# benchmark needs neither that nor the rest of what it asks for.
LONE_PEERS := grad-cam ttach opencv-python-headless

$(VENV)/.with-bench: $(VENV)/.installed
	$(PIP) --editable '.[bench]'
	$(PIP) --no-deps $(LONE_PEERS)
	@touch $@

# A CPU build of torch calls itself 2.13.0+cpu, which nobody else could install; the libraries of
# a CUDA build belong to that build.
constraints: ## Pin anew what the commands install, from a fresh environment
	scratch="$$(mktemp -d)" && trap 'rm -rf "$$scratch"' EXIT && \
	$(PYTHON) -m venv "$$scratch" && \
	"$$scratch/bin/python" -m pip install torch==2.13.0 && \
	"$$scratch/bin/python" -m pip install torch==2.13.0 --editable '.[pyside6,dev,bench]' && \
	"$$scratch/bin/python" -m pip install --no-deps $(LONE_PEERS) && \
	{ sed -n '/^#/p;/^[^#]/q' constraints.txt && \
	"$$scratch/bin/python" -m pip freeze --exclude-editable \
		| sed -E '/ @ |^-e |^(nvidia|cuda|triton)/d; s/\+[^+ ]+$$//'; } > "$$scratch/pins" && \
	cp "$$scratch/pins" constraints.txt
