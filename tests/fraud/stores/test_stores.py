import subprocess
import sys

import pytest

from fraud.settings import Settings, SettingsError
from fraud.stores import open_store


@pytest.mark.parametrize("url", [
    "", "memory", "memory:", "memory://file", "postgres://x", "dynamodb://", "dynamodb://a/b",
    "/path", "redis:x", "redis://host:port/0"])
def test_an_unknown_url_is_refused(url):
    with pytest.raises(SettingsError, match="FRAUD_HISTORY is .*use"):
        open_store(Settings(history=url))


def test_an_error_does_not_show_the_password():
    with pytest.raises(SettingsError) as caught:
        open_store(Settings(history="redis://me:secret@host:port/0"))
    assert "secret" not in str(caught.value)


def test_dynamodb_without_a_region_is_refused(monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(SettingsError, match="region.*AWS_DEFAULT_REGION"):
        open_store(Settings(history="dynamodb://table"))


@pytest.mark.parametrize(("url", "needed"), [
    ("memory://", set()), ("redis://localhost", {"redis"})])
def test_only_the_library_of_the_store_is_imported(url, needed):
    program = ("import sys; from fraud.settings import Settings; "
               "from fraud.stores import open_store; "
               f"open_store(Settings(history={url!r})); print(*sys.modules)")
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                            check=True).stdout.split()
    assert {"redis", "botocore", "boto3"} & set(loaded) == needed
