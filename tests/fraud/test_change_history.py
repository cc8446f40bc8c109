import msgspec
import pytest

from fraud import change_history
from fraud.published import PublishedError


@pytest.mark.parametrize("location", ["models", "s3://models/team"])
def test_changes_are_kept_in_order_in_a_folder_and_on_s3(location, tmp_path, monkeypatch, bucket):
    monkeypatch.chdir(tmp_path)
    for by, reason in (("ann", "first"), ("ben", "second")):
        change_history.record(location, by, "promote", "1", "2", reason)
    changes = change_history.read([location, f"{location}/none"])
    assert [(change.by, change.reason) for change in changes] == [
        ("ann", "first"), ("ben", "second")]


def test_a_damaged_file_is_named(tmp_path):
    change_history.record(str(tmp_path), "ann", "promote", "1", "2", "first")
    [file] = (tmp_path / "history").iterdir()
    assert msgspec.json.decode(file.read_bytes())["reason"] == "first"
    file.write_bytes(b"{")
    with pytest.raises(PublishedError, match=f"history/{file.name}: is not a change"):
        change_history.read([str(tmp_path)])
