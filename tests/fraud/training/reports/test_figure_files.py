from fraud.training.reports import figure_files
from fraud.training.settings import Alerts
from tests.fraud.training.reports.test_cards import test as final_test  # noqa: F401


def test_each_figure_is_a_png_file(final_test, make_candidate, tmp_path):  # noqa: F811
    alerts = Alerts(alerts_per_day=3.0, review_cost=5.0, review_by="score", decline_from=0.0)
    figure_files.write(final_test, [make_candidate()], alerts, tmp_path / "figures")
    files = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert set(files) == {f"{name}.png" for name in (
        "precision-recall", "thresholds", "calibration", "importance", "confusion",
        "recall-by-type", "gain", "alerts-by-day", "learning-xgboost")}
    assert all(content.startswith(b"\x89PNG") for content in files.values())
