# Each target sets up what it needs: environments with pinned requirements, made by uv.

PYTHON ?= >=3.11,<3.14
UV_VERSION := 0.13.9
CYCLONEDX := cyclonedx-bom==7.5.0
MUTMUT := mutmut==3.8.1
GO_TOOLS := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 \
	github.com/zegl/kube-score/cmd/kube-score@v1.20.0
BIN := .venv/bin
READY := .venv/.ready
LINT := .venv-lint/.ready
TOOLS := .venv-tools/.ready
UV := $(or $(shell command -v uv),.venv-uv/bin/uv)
# With COVERAGE set, tests measure coverage, of the processes they start too.
PYTEST := $(BIN)/$(if $(COVERAGE),coverage run,python) -m pytest

.DEFAULT_GOAL := help

.PHONY: help train data serve desk stream-demo notebooks image minikube deploy digest sbom smoke test \
	test-fast test-system test-cluster acceptance crash-proof endure fuzz mutants lint report rules retrain drill \
	bench reference lock tools programs clean java

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

train: java $(READY)  ## train, select and register a champion (ARGS="--transactions payments.csv ...")
	@$(BIN)/python flows/train_flow.py run $(ARGS)

data: java $(READY)  ## run the stages of dvc.yaml whose input has changed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro $(ARGS)

# One key for all programs of this machine, so that an account has one pseudonym.
ACCOUNT_KEY = FRAUD_ACCOUNT_KEY="$${FRAUD_ACCOUNT_KEY:-$$(cat data/account.key)}"

serve: data/account.key $(READY)  ## serve the champion on http://127.0.0.1:8000 (ARGS="--port 8080")
	$(ACCOUNT_KEY) FRAUD_DECISION_LOG="$${FRAUD_DECISION_LOG:-data/decisions.jsonl}" \
		$(BIN)/python -m serve $(ARGS)

desk: data/account.key $(READY)  ## decide reviewed payments on http://127.0.0.1:8100 (ARGS="--port 8180")
	$(ACCOUNT_KEY) $(BIN)/python -m desk $(ARGS)

stream-demo: java models/champion.json data/account.key $(READY)  ## score a live stream: Kafka, Redis, scorer, producer (ARGS="--seconds 60")
	$(ACCOUNT_KEY) $(BIN)/python -m stream.demo $(ARGS)

data/account.key:
	@umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > $@

image: models/champion.json  ## build the image fraud-detector with the champion baked in
	docker build -f serve/Dockerfile -t fraud-detector .

minikube: image  ## deploy the image to a started Minikube and score a payment there
	k8s/minikube.sh

deploy: $(TOOLS)  ## build the Lambda function of the champion in FRAUD_MODEL (s3://) and `sam deploy` it
	aws s3 sync --delete "$$FRAUD_MODEL" models
	cd sam && ../.venv-tools/bin/sam build && ../.venv-tools/bin/sam deploy --config-env production \
		--image-repository "$$AWS_IMAGE_REPOSITORY" --role-arn "$$AWS_CLOUDFORMATION_ROLE"

digest:  ## print the digest of the image that `make deploy` has pushed to AWS_IMAGE_REPOSITORY
	@docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' function:latest | \
		sed -n "s|^$$AWS_IMAGE_REPOSITORY@|digest=|p" | grep . >> "$${GITHUB_OUTPUT:-/dev/stdout}"

sbom: $(UV)  ## list the Python packages of the image in sbom.json (CycloneDX)
	@$(UV) tool run --quiet --from $(CYCLONEDX) cyclonedx-py requirements serve/requirements.txt \
		--output-reproducible --output-format JSON --output-file sbom.json

smoke:  ## score a payment through the deployed function, with the key FRAUD_KEY
	url=$$(aws cloudformation describe-stacks --stack-name fraud --output text \
		--query "Stacks[0].Outputs[?OutputKey=='Url'].OutputValue") && \
	curl --fail-with-body --silent --show-error "$$url/v1/score" \
		-H "Authorization: Bearer $$FRAUD_KEY" -H "Content-Type: application/json" \
		-d '{"transaction_id": "smoke-'$$(date +%s)'", "event_time": '$$(date +%s)'000, '\
	'"type": "PAYMENT", "amount": 1, "origin": "C-smoke", "destination": "M-smoke", '\
	'"origin_balance": 100, "destination_balance": 0}'

models/champion.json:
	@echo "there is no champion in models yet: make train"; exit 1

test-fast: $(READY)  ## tests without a JVM, a broker or a training run: under a minute
	$(BIN)/python -m pytest -m "not slow and not system" $(ARGS)

test: programs $(READY)  ## tests that take minutes (ARGS="tests/fraud -k bundle")
	$(PYTEST) -m "not system" $(ARGS)
	@$(if $(COVERAGE),$(BIN)/coverage combine --quiet && $(BIN)/coverage report --sort cover | tail -n 12)

test-system: programs $(READY) $(TOOLS)  ## tests that need the whole machine
	$(BIN)/python -m pytest -m system $(ARGS)

test-cluster: $(READY)  ## tests on a Kubernetes of two nodes, which takes minutes to build once (as root)
	@tests/programs.sh cluster
	FRAUD_CLUSTER=always $(BIN)/python -m pytest -m cluster $(ARGS)

acceptance: programs $(READY) $(TOOLS)  ## long forms of tests, run by hand: writes docs/acceptance.md
	@tests/programs.sh cluster
	FRAUD_ACCEPTANCE=1 FRAUD_CLUSTER=$${FRAUD_CLUSTER:-always} \
		$(BIN)/python -m pytest -p tests.acceptance -m acceptance $(ARGS)

crash-proof: java $(READY)  ## 50,000 messages, 28 kills, restarts of Kafka and Redis: exactly once
	FRAUD_ACCEPTANCE=1 $(BIN)/python -m pytest tests/stream/test_worker.py -k crash_proof -s

endure: programs java $(READY)  ## the whole system under load, a fault every two minutes: nothing lost or doubled (MINUTES=60 SEED=7)
	$(BIN)/python -m tests.endurance --minutes $(or $(MINUTES),60) --seed $(or $(SEED),7) $(ARGS)

fuzz: $(READY)  ## fuzz a parser of tests/fuzz/parsers.py (PARSER=payment SECONDS=60); found inputs go to data/fuzz
	@mkdir -p data/fuzz/$(or $(PARSER),payment)
	$(BIN)/python -m tests.fuzz $(or $(PARSER),payment) data/fuzz/$(or $(PARSER),payment) \
		tests/fuzz/corpus/$(or $(PARSER),payment) -timeout=10 -artifact_prefix=data/fuzz/ \
		-max_total_time=$(or $(SECONDS),60)

# mutmut imports the tests, so it is added to .venv for the run; it shares their pins.
mutants: $(READY) $(UV)  ## change a module in one place at a time and see if a test fails (MODULE=fraud/labels.py)
	VIRTUAL_ENV=.venv UV_CONSTRAINT=requirements.txt $(UV) run --quiet --active --no-project \
		--with $(MUTMUT) python -m tests.mutation $(MODULE)

lint: $(LINT)  ## flake8 and mypy, from a small environment
	.venv-lint/bin/flake8
	.venv-lint/bin/mypy

report: $(READY)  ## compare decisions with validation (DECISIONS=FILE ARGS="--labels data/labels.csv")
	$(BIN)/python -m fraud.training.registry reference --out monitored
	$(BIN)/python -m monitoring.report --reference monitored/reference.parquet \
		--decisions $(or $(DECISIONS),data/decisions.jsonl) --out monitored/report $(ARGS)

drill: $(READY)  ## simulate concept drift: time to the alarm, recovery (four minutes)
	$(BIN)/python -m monitoring.drill --out docs/drill.png

notebooks: $(READY)  ## open the notebooks in JupyterLab (after make train)
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks $(ARGS)

rules: $(READY)  ## write the alerts for the Prometheus operator (RUNBOOK=https://... links them to a page)
	$(BIN)/python -m monitoring.prometheus_rule $(if $(RUNBOOK),--runbook "$(RUNBOOK)") \
		> k8s/base/prometheusrule.yaml

retrain: java $(READY)  ## retrain if FRAUD_DECISIONS and FRAUD_LABELS (s3:// prefixes) give a reason
	aws s3 sync --delete "$$FRAUD_DECISIONS" monitored/decisions
	aws s3 sync --delete "$$FRAUD_LABELS" monitored/labels
	@for part in decisions labels; do [ -n "$$(find monitored/$$part -type f)" ] || { \
		echo "there are no $$part on S3 yet: nothing to learn from"; exit 1; }; done
	$(BIN)/python -m fraud.training.registry reference --out monitored
	$(BIN)/python -m monitoring.report --reference monitored/reference.parquet --out monitored/report \
		--decisions $$(find monitored/decisions -type f) --labels $$(find monitored/labels -type f)
	$(BIN)/python -m monitoring.labels --as-of "$$(date -u +%FT%TZ)" --out monitored/known \
		--decisions $$(find monitored/decisions -type f) --labels $$(find monitored/labels -type f)
	$(BIN)/python -m monitoring.retraining --report monitored/report/report.json \
		--transactions monitored/known/training.parquet $(ARGS)

bench: java image $(READY) $(TOOLS)  ## run all benchmarks and write docs/benchmarks.md: more than an hour, on an idle machine
	$(BIN)/python -m bench
	$(BIN)/python -m bench.simulator

tools: $(TOOLS)  ## install the programs that check manifests and templates, in .venv-tools

reference: $(READY)  ## write the tables of docs/reference.md from the code
	$(BIN)/python docs/generate_reference.py

programs:  ## install the programs that tests need, where this may: as root, or with sudo without a password
	@tests/programs.sh

lock: $(UV)  ## compile the requirements of each environment
	$(UV) pip compile $(LOCK) --upgrade requirements.in --output-file requirements.txt
	$(UV) pip compile $(LOCK) --upgrade requirements-tools.in --output-file requirements-tools.txt
	$(UV) pip compile $(LOCK) --constraint requirements.txt requirements-lint.in \
		--output-file requirements-lint.txt
	$(UV) pip compile $(LOCK) --constraint requirements.txt --extra serve --extra stream \
		pyproject.toml --output-file serve/requirements.txt
	$(UV) pip compile $(LOCK) --constraint requirements.txt --extra desk pyproject.toml \
		--output-file desk/requirements.txt

LOCK := --quiet --universal --python-version 3.11 --no-annotate --generate-hashes

clean:  ## remove the files of runs; keeps data, registry and published models
	rm -rf data/runs .coverage .mypy_cache .pytest_cache .hypothesis spark-warehouse
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
	@echo "Kept: payments, MLflow's registry, published models. Notebooks 01 to 03 need 'make train' again."

java:
	@"$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version >/dev/null 2>&1 || { \
		echo "Java is missing, and Spark and Kafka need 17 or newer: apt-get install default-jre-headless"; \
		exit 1; }

.venv-uv/bin/uv:
	@echo "uv is missing: installing it into .venv-uv"
	@python3 -m venv .venv-uv || { \
		echo "Python cannot make an environment: apt-get install python3-venv"; exit 1; }
	@.venv-uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(TOOLS): requirements-tools.txt | $(UV)
	@$(UV) venv --quiet --allow-existing --python "$(PYTHON)" .venv-tools
	@$(UV) pip sync --quiet --python .venv-tools/bin/python requirements-tools.txt
	@command -v go >/dev/null 2>&1 && for tool in $(GO_TOOLS); do \
		GOBIN="$(CURDIR)/.venv-tools/bin" go install $$tool || exit 1; done || \
		echo "Go is missing, and with it actionlint and kube-score; their tests will be skipped"
	@touch $(TOOLS)

$(LINT): requirements-lint.txt | $(UV)
	@$(UV) venv --quiet --allow-existing --python "$(PYTHON)" .venv-lint
	@$(UV) pip sync --quiet --python .venv-lint/bin/python requirements-lint.txt
	@touch $(LINT)

$(READY): requirements.txt pyproject.toml | $(UV)
	@$(UV) venv --quiet --allow-existing --python "$(PYTHON)" .venv
	@echo "Installing the pinned requirements into .venv for $$($(BIN)/python --version), once"
	@$(UV) pip sync --quiet --python $(BIN)/python requirements.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(READY)
