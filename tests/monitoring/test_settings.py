import pytest

from fraud.training.errors import TrainingError
from monitoring import settings
from monitoring.settings import Policy, ReportSettings

GOOD = "drift_share = 0.1\nf1_fall = 0.1\nmax_age_days = 30.0\n"


def test_the_files_beside_the_code_are_settings():
    assert settings.read(settings.FOLDER / "report.toml", ReportSettings).drift.min_payments == 2000
    assert settings.read(settings.FOLDER / "retraining.toml", Policy).max_age_days == 30


@pytest.mark.parametrize(("text", "message"), [
    (GOOD + "max_age = 3\n", "unknown field `max_age`"),
    (GOOD.replace("drift_share = 0.1\n", ""), "missing required field `drift_share`"),
    (GOOD.replace("0.1", "1.5", 1), "drift_share"),
    (GOOD + "= 3", "Invalid"), (None, "No such file")])
def test_what_is_wrong_with_a_file_is_named(tmp_path, text, message):
    if text:
        (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(TrainingError, match=f"policy.toml: .*{message}.*; mend that file"):
        settings.read(tmp_path / "policy.toml", Policy)
