import pytest

from fraud.training.errors import TrainingError
from monitoring import settings
from monitoring.settings import ReportSettings, RetrainingTriggers

GOOD = "drift_share = 0.1\nf1_fall = 0.1\nmax_age_days = 30.0\n"


def test_the_files_beside_the_code_are_settings():
    report = settings.read_settings(settings.FOLDER / "report.toml", ReportSettings)
    triggers = settings.read_settings(settings.FOLDER / "retraining.toml", RetrainingTriggers)
    assert (report.drift.min_payments, triggers.max_age_days) == (2_000, 30)


@pytest.mark.parametrize(("text", "message"), [
    (GOOD + "max_age = 3\n", "unknown field `max_age`"),
    (GOOD.replace("drift_share = 0.1\n", ""), "missing required field `drift_share`"),
    (GOOD.replace("0.1", "1.5", 1), "drift_share"),
    (GOOD + "= 3", "Invalid"), (GOOD + "a = " + 2000 * "[", "recursion"),
    ("\udccf", "can't decode"), (None, "No such file")])
def test_what_is_wrong_with_a_file_is_named(tmp_path, text, message):
    if text:
        (tmp_path / "policy.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(TrainingError, match=f"policy.toml: .*{message}.*; fix that file"):
        settings.read_settings(tmp_path / "policy.toml", RetrainingTriggers)
