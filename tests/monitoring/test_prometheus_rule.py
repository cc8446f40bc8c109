import yaml

from monitoring import prometheus_rule
from tests.tools import ROOT, run


def test_the_operator_is_told_what_prometheus_is_told():
    assert (ROOT / "k8s/base/prometheusrule.yaml").read_text() == prometheus_rule.manifest(), (
        "run: python -m monitoring.prometheus_rule > k8s/base/prometheusrule.yaml")


def test_its_groups_are_rules_that_prometheus_accepts(tmp_path):
    groups = yaml.safe_load(prometheus_rule.manifest())["spec"]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(groups))
    assert "SUCCESS: 45 rules found" in run("promtool", "check", "rules", tmp_path / "rules.yml")


def test_a_changed_rule_changes_the_object(tmp_path):
    (tmp_path / "one.yml").write_text("groups: [{name: a, rules: [{record: b, expr: c}]}]")
    groups = yaml.safe_load(prometheus_rule.manifest(tmp_path))["spec"]["groups"]
    assert groups == [{"name": "a", "rules": [{"record": "b", "expr": "c"}]}]


def test_a_runbook_that_is_given_is_where_each_alert_leads(tmp_path):
    before = (prometheus_rule.RULES / "alerts.yml").read_text()
    (tmp_path / "alerts.yml").write_text(before)
    prometheus_rule.lead_to("https://wiki/fraud", tmp_path)
    after = (tmp_path / "alerts.yml").read_text()
    urls = [line.split("runbook_url: ")[1] for line in after.splitlines() if "runbook_url" in line]
    assert len(urls) == before.count("- alert:")
    assert urls == [f"https://wiki/fraud#{line.split('#')[-1]}"
                    for line in before.splitlines() if "runbook_url" in line]
    assert [line for line in after.splitlines() if "runbook_url" not in line] == [
        line for line in before.splitlines() if "runbook_url" not in line]
