# Everything runs in .venv, made from the lock files. PYTHON names the interpreter to make it with.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin

.PHONY: run test check conformance bench lock clean

run: .venv/run
	$(BIN)/python -m webhooks_project.local_env
	HUB_ENV=local $(BIN)/python manage.py run_hub --port $(PORT)

test: .venv/dev
	$(BIN)/pytest $(ARGS)

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python -m webhooks_project.local_env
	HUB_ENV=local $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m tests.check_deploy

conformance: .venv/dev
	@test -n "$(CORPUS)" || { echo "name the directory: make conformance CORPUS=…"; exit 2; }
	$(BIN)/python manage.py conformance $(CORPUS)

bench: .venv/dev
	$(BIN)/python manage.py bench $(ARGS)

.venv/run: requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

.venv/dev: requirements-dev.lock .venv/run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

# New pins from pyproject.toml.
lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-annotate --no-header -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --all-extras --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-annotate --no-header -o requirements-dev.lock

clean:
	rm -rf .venv var .pytest_cache .mypy_cache .ruff_cache .hypothesis
