import pytest

from fraud.training.registry import Registry, tracking
from tests.fraud.training.registry.test_registry import ran

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def pair(make_bundle, tags):
    """Two versions that differ in data, settings and metrics."""
    for number, data, depth, f1 in (("1", "d", 6, 0.8), ("2", "e", 9, 0.9)):
        tracking.connect()
        with tracking.run("a run", {"split.test_days": 5, "floors.test_f1": 0.5}, {}) as parent:
            with tracking.run("xgboost", {"max_depth": depth}, {}, parent) as run:
                tracking.log_metrics({"test_f1": f1, "test_f1_low": f1 - 0.1, "test_f1_high": 0.95,
                                      "test_recall": 0.75})
                tracking.log_text("a model", "native/model")
        with Registry().registered(
                tracking.Logged(run, None, f"runs:/{run}/native"), tags,
                lambda number, directory, data=data: make_bundle(
                    directory, version=number, data_digest=data * 64)):
            pass


def test_versions_are_shown_side_by_side_with_what_differs_marked(pair, capsys):
    lines = ran(capsys, "compare", "1", "2").splitlines()
    rows = {line[2:36].strip(): (line[0], line[36:74].strip(), line[74:]) for line in lines if line}
    assert rows["test_f1"] == ("*", "0.8 (0.7000 to 0.9500)", "0.9 (0.8000 to 0.9500)")
    assert rows["test_recall"][0] == " "
    place = lines.index("* data_digest")        # long values stand below each other
    assert [line.strip() for line in lines[place + 1:place + 3]] == ["d" * 64, "e" * 64]
    assert rows["max_depth"] == ("*", "6", "9")
    assert "split.test_days" not in rows and "floors.test_f1" not in rows
    assert rows["policy"] == ("*", "1.1", "2.1") and "test_f1_low" not in rows
    assert lines[-1].startswith("They were tested on different payments")


def test_a_version_differs_in_nothing_from_itself(pair, capsys):
    text = ran(capsys, "compare", "2", "2")
    assert "*" not in text and "none of 3" in text and "different payments" not in text


def test_an_unknown_version_is_named(pair, capsys):
    with pytest.raises(SystemExit):
        ran(capsys, "compare", "1", "7")
    assert "version 7 is not registered" in capsys.readouterr().err
