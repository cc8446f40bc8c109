"""The rules as the object that Prometheus' operator reads, made of the same files.

    python -m monitoring.prometheus_rule > k8s/base/prometheusrule.yaml

writes YAML to stdout; `make rules` runs it after a change in monitoring/prometheus/rules. With
--runbook each alert first gets that page as its runbook, in the files too.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import yaml

RULES = Path(__file__).parent / "prometheus/rules"
HEAD = "# Made of monitoring/prometheus/rules by `python -m monitoring.prometheus_rule`.\n"
RUNBOOK = re.compile(r"(?<=runbook_url: )[^#\n]*(?=#)")


def lead_to(runbook: str, rules: Path = RULES) -> None:
    """Let the alerts of a folder of rule files lead to a page, each to its own heading."""
    for path in rules.glob("*.yml"):
        path.write_text(RUNBOOK.sub(lambda _: runbook, path.read_text()))


def manifest(rules: Path = RULES) -> str:
    """A PrometheusRule with all groups of a folder of rule files, as YAML."""
    groups = [group for path in sorted(rules.glob("*.yml"))
              for group in yaml.safe_load(path.read_text())["groups"]]
    return HEAD + yaml.safe_dump({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "fraud", "labels": {
            "release": "kube-prometheus-stack"}},      # by which that chart's Prometheus finds it
        "spec": {"groups": groups},
    }, sort_keys=False, width=100, allow_unicode=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.prometheus_rule", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runbook", metavar="URL", help="where your people read "
                                                         "monitoring/runbook.md")
    options = parser.parse_args(arguments)
    if options.runbook:
        lead_to(options.runbook)
    print(manifest(), end="")


if __name__ == "__main__":
    main()
