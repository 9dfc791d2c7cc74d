# `make demo` and `make test` do all their own set-up, in .venv; both can be run again at any time.
# On Windows, or with an environment of your own: pip install -c constraints.txt -e '.[dev,peers]'

# The first interpreter that is new enough; say `make demo PYTHON=python3.12` to choose.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
BIN = .venv/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
WORKERS ?= 2

.PHONY: help demo test test-isa test-rounding lint types dist docs bench golden parity clean

help:
	@echo "make demo    train LeNet-5 on handwritten digits, evaluate it, predict: about two minutes"
	@echo "make test    the whole test suite"
	@echo "make test-isa  a part of it with a lesser instruction set"
	@echo "make test-rounding  its computing folders under another processor's rounding"
	@echo "make lint    ruff        make types   mypy --strict      make dist   wheel and sdist"
	@echo "make bench   benchmarks against torchvision and timm (needs a quiet machine)"
	@echo "make golden  write the golden files anew      make parity  docs/en/why/parity.md anew"
	@echo "make docs    the documentation: docs/_build/en/index.html, docs/_build/zh/index.html"
	@echo "make clean   remove .venv and build outputs"

demo: .venv/ready
	$(BIN)/backbones demo --out runs/demo

test: .venv/ready-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q

# Once more, as a processor without AVX2 computes it: training, gradients, two ways to one number.
ISA_TESTS = $(addprefix tests/,contract/test_backbone.py protocols/test_identities.py training/test_loop.py \
	models/test_alexnet.py models/test_densenet.py $(addprefix features/test_,dense.py taps.py losses.py))
test-isa: .venv/ready-dev
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=1 \
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q $(ISA_TESTS)

# And as a processor computes it that nobody has here: tests/other_processor.py says how.
COMPUTING = $(addprefix tests/,classifier cli contract engines explanation exporting features footprint \
	golden ledger models nn parity playground protocols report serving training weights workflows)
test-rounding: .venv/ready-dev
	BACKBONES_OTHER_ROUNDING=1 OMP_NUM_THREADS=1 \
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q -m "not our_rounding" $(COMPUTING)

lint: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready-dev
	$(BIN)/mypy

dist: .venv/ready-dev
	$(BIN)/python -m build --outdir dist .

docs: .venv/ready-dev
	OMP_NUM_THREADS=1 $(BIN)/python docs/build.py

bench: .venv/ready-dev
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/training.py

golden: .venv/ready-dev
	BACKBONES_REGENERATE=1 $(BIN)/python -m pytest -q tests/golden

parity: .venv/ready-dev
	BACKBONES_REGENERATE=1 $(BIN)/python -m pytest -q tests/parity/test_oracles.py -k equals

clean:
	rm -rf .venv dist build docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The stamps are older than pyproject.toml or constraints.txt after a `git pull` that changed them.
.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 to 3.13 found; install one, or say make PYTHON=/path/to/python3"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/ready: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable '.[fast]'
	@touch $@

.venv/ready-dev: .venv/ready
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev,peers]'
	@touch $@
