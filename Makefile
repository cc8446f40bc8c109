# Each target does all of its set-up: a virtual environment in .venv with the pinned requirements.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
TOOLS := .venv-tools/.ready

.PHONY: help train data serve stream-demo notebooks image minikube deploy smoke test test-system \
	acceptance crash-proof lint report rules retrain drill bench lock tools programs clean java

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

train: java $(READY)  ## train, select and register a champion (ARGS="--transactions paysim.csv ...")
	$(BIN)/python flows/train_flow.py run $(ARGS)

data: java $(READY)  ## the data of dvc.yaml, stage by stage, where its input has changed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro $(ARGS)

serve: $(READY)  ## serve the champion on http://127.0.0.1:8000 (ARGS="--port 8080")
	$(BIN)/python -m serve $(ARGS)

stream-demo: java models/champion.json $(READY)  ## Kafka, Redis, scorer and payments, and what is decided (ARGS="--seconds 60")
	$(BIN)/python -m stream.demo $(ARGS)

image: models/champion.json  ## build the image fraud-detector with the champion baked in
	docker build -f serve/Dockerfile -t fraud-detector .

minikube: image  ## deploy the image to a Minikube, which is started, and score a payment there
	k8s/minikube.sh

deploy: $(TOOLS)  ## build the function of the champion in FRAUD_MODEL (s3://) and `sam deploy` it
	aws s3 sync --delete "$$FRAUD_MODEL" models
	cd sam && ../.venv-tools/bin/sam build && ../.venv-tools/bin/sam deploy --config-env production \
		--image-repository "$$AWS_IMAGE_REPOSITORY" --role-arn "$$AWS_CLOUDFORMATION_ROLE"

smoke:  ## score a payment through what was deployed, with the key FRAUD_KEY
	url=$$(aws cloudformation describe-stacks --stack-name fraud --output text \
		--query "Stacks[0].Outputs[?OutputKey=='Url'].OutputValue") && \
	curl --fail-with-body --silent --show-error "$$url/v1/score" \
		-H "Authorization: Bearer $$FRAUD_KEY" -H "Content-Type: application/json" \
		-d '{"transaction_id": "smoke-'$$(date +%s)'", "event_time": '$$(date +%s)'000, \
			"type": "PAYMENT", "amount": 1, "origin": "C-smoke", "destination": "M-smoke", \
			"origin_balance": 100, "destination_balance": 0}'

models/champion.json:
	@echo "there is no champion in models yet: make train"; exit 1

test: java $(READY)  ## the tests that take minutes (ARGS="tests/fraud -k bundle")
	$(BIN)/python -m pytest -m "not system" $(ARGS)

test-system: java $(READY) $(TOOLS)  ## the tests that need the whole machine
	$(BIN)/python -m pytest -m system $(ARGS)

acceptance: java $(READY) $(TOOLS)  ## the long forms of tests, by hand: writes docs/acceptance.md
	FRAUD_ACCEPTANCE=1 $(BIN)/python -m pytest -p tests.acceptance -m acceptance $(ARGS)

crash-proof: java $(READY)  ## 50,000 messages, 28 kills, restarts of Kafka and Redis: exactly once
	FRAUD_ACCEPTANCE=1 $(BIN)/python -m pytest tests/stream/test_worker.py -k crash_proof -s

lint: $(READY)  ## flake8
	$(BIN)/flake8

report: $(READY)  ## compare decisions with the champion's reference (DECISIONS=decisions.jsonl ARGS="--labels labels.csv")
	$(BIN)/python -m fraud.training.registry reference monitored
	$(BIN)/python -m monitoring.report --reference monitored/reference.parquet \
		--decisions $(or $(DECISIONS),decisions.jsonl) --out monitored/report $(ARGS)

drill: $(READY)  ## fraud changes its ways: time until the alarm, recovery (four minutes)
	$(BIN)/python -m monitoring.drill --out docs/drill.png

notebooks: $(READY)  ## open the notebooks in JupyterLab (after make train)
	$(BIN)/jupyter lab notebooks $(ARGS)

rules: $(READY)  ## the alerts as Prometheus' operator reads them (RUNBOOK=https://... where people read it)
	$(BIN)/python -m monitoring.prometheus_rule $(if $(RUNBOOK),--runbook "$(RUNBOOK)") \
		> k8s/base/prometheusrule.yaml

retrain: java $(READY)  ## train if a reason is found in FRAUD_DECISIONS and FRAUD_LABELS (s3:// prefixes)
	aws s3 sync --delete "$$FRAUD_DECISIONS" monitored/decisions
	aws s3 sync --delete "$$FRAUD_LABELS" monitored/labels
	@for part in decisions labels; do [ -n "$$(find monitored/$$part -type f)" ] || { \
		echo "there are no $$part on S3 yet: nothing to learn from"; exit 1; }; done
	$(BIN)/python -m fraud.training.registry reference monitored
	$(BIN)/python -m monitoring.report --reference monitored/reference.parquet --out monitored/report \
		--decisions $$(find monitored/decisions -type f) --labels $$(find monitored/labels -type f)
	$(BIN)/python -m monitoring.labels --as-of "$$(date -u +%FT%TZ)" --out monitored/known \
		--decisions $$(find monitored/decisions -type f) --labels $$(find monitored/labels -type f)
	$(BIN)/python -m monitoring.retraining --report monitored/report/report.json \
		--transactions monitored/known/training.parquet $(ARGS)

bench: java image $(READY) $(TOOLS)  ## measure all, into docs/benchmarks.md: more than an hour, idle
	$(BIN)/python -m bench
	$(BIN)/python -m bench.simulator

tools: $(TOOLS)  ## the programs that check manifests and templates, in .venv-tools

programs:  ## what tests need of Debian or Ubuntu: Redis, Prometheus, Alertmanager
	sudo apt-get update -q
	sudo apt-get install -qy --no-install-recommends redis-server prometheus prometheus-alertmanager

lock: $(READY)  ## compile requirements.in and requirements-tools.in
	$(BIN)/python -m pip install --quiet uv
	for name in requirements requirements-tools; do \
		$(BIN)/uv pip compile --universal --python-version 3.11 --no-annotate --upgrade \
			$$name.in -o $$name.txt; done

clean:  ## remove what runs computed; keeps data, registry and published models
	rm -rf data/runs .pytest_cache .hypothesis spark-warehouse
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

java:
	@"$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version >/dev/null 2>&1 || { \
		echo "Java is missing, and Spark and Kafka need 17 or newer: apt-get install openjdk-17-jre-headless"; \
		exit 1; }

$(TOOLS): requirements-tools.txt
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-tools.txt
	@touch $(TOOLS)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is older than 3.11: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing the pinned requirements into .venv: some minutes, once"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $(READY)
