"""The rules as the object that Prometheus' operator reads, made of the same files.

    python -m monitoring.prometheus_rule > k8s/base/prometheusrule.yaml

writes YAML to stdout; `make rules` runs it after a change in monitoring/prometheus/rules.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

RULES = Path(__file__).parent / "prometheus/rules"
HEAD = "# Made of monitoring/prometheus/rules by `python -m monitoring.prometheus_rule`.\n"


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
    argparse.ArgumentParser(
        prog="python -m monitoring.prometheus_rule", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(arguments)
    print(manifest(), end="")


if __name__ == "__main__":
    main()
