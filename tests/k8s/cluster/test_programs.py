"""The decision to run tests on a cluster."""

import pytest

from tests.k8s.cluster import programs


@pytest.fixture
def able(monkeypatch, tmp_path):
    """A machine that has everything but the programs of Kubernetes."""
    monkeypatch.delenv("FRAUD_CLUSTER", raising=False)
    monkeypatch.setattr(programs.os, "geteuid", lambda: 0)
    monkeypatch.setattr(programs, "NEEDED", ("sh",))
    monkeypatch.setattr(programs, "CGROUP_V1", tmp_path)
    monkeypatch.setattr(programs, "MARK", tmp_path / "built")
    return monkeypatch


def test_kubernetes_is_not_built_unasked(able):
    assert "make test-cluster" in programs.obstacle()
    able.setenv("FRAUD_CLUSTER", "always")
    assert programs.obstacle() == ""


def test_a_build_of_these_sources_is_used_and_may_be_left_out(able):
    programs.MARK.write_text("of other sources")
    assert "is not built" in programs.obstacle()
    programs.MARK.write_text(programs.digest())
    assert programs.obstacle() == ""
    able.setenv("FRAUD_CLUSTER", "never")
    assert programs.obstacle() == "FRAUD_CLUSTER=never"


def test_a_machine_that_cannot_run_a_cluster_is_told_the_reason(able):
    able.setenv("FRAUD_CLUSTER", "always")
    able.setattr(programs, "NEEDED", ("sh", "no-such-program"))
    assert programs.obstacle() == "no-such-program missing"
    able.setattr(programs.os, "geteuid", lambda: 1000)
    assert programs.obstacle() == "they need root"
