import msgspec
import pytest
from prometheus_client import REGISTRY

import fraud.service
from fraud.history import NAMES
from fraud.service import Service
from fraud.settings import Settings, SettingsError
from tests.factories import payment


def test_a_refresh_measures_the_memory_of_the_store_now_and_then(
        own_redis, bundle_directory, tmp_path, monkeypatch):
    def measured() -> tuple[float | None, ...]:
        return tuple(REGISTRY.get_sample_value(f"fraud_history_memory_{name}")
                     for name in ("bytes", "limit_bytes"))

    before = measured()
    service = Service(Settings(
        model=str(bundle_directory), history=own_redis("--maxmemory", "50mb").url,
        account_key="key", history_deadline_ms=5_000.0, decision_log=str(tmp_path / "log")),
        fallback_on_store_error=True)
    service.refresh()
    assert measured() == before         # it has just started
    monkeypatch.setattr(fraud.service, "MEASURE_SECONDS", 0.0)
    service.refresh()
    service.close()
    used, limit = measured()
    assert 0 < used < limit == 50 * 2 ** 20


@pytest.fixture
def logged(bundle_directory, tmp_path):
    """Scores payments in a new service with a key; gives the lines of the decision log."""
    def logged(key: str, *payments) -> list[dict]:
        log = tmp_path / "decisions.jsonl"
        service = Service(Settings(model=str(bundle_directory), account_key=key,
                                   decision_log=str(log), clock="event"),
                          fallback_on_store_error=True)
        service.score(payments)
        service.close()
        lines = [msgspec.json.decode(line) for line in log.read_bytes().splitlines()]
        log.unlink()
        return lines

    return logged


def test_the_log_names_accounts_by_a_keyed_digest(logged):
    first, second = logged("k", payment("a"), payment("b", origin="C2", destination="C1"))
    assert (first["origin"], first["destination"]) == (second["destination"], second["origin"])
    assert first["origin"] != first["destination"] and "C1" not in str(first)
    assert second["counts"][NAMES.index("origin_knows_other")] == 1
    assert logged("other", payment("a"))[0]["origin"] != first["origin"]
    assert logged("", payment("a"))[0]["origin"] != logged("", payment("a"))[0]["origin"]
    assert logged("k", payment("a", destination=None))[0]["destination"] is None


@pytest.mark.parametrize("url", [
    "redis://me:secret@localhost", "dynamodb://table", "memory:///file"])
def test_a_store_that_outlives_the_process_needs_a_key(bundle_directory, url):
    with pytest.raises(SettingsError, match="FRAUD_ACCOUNT_KEY is not set.*openssl rand") as caught:
        Service(Settings(model=str(bundle_directory), history=url), fallback_on_store_error=True)
    assert "secret" not in str(caught.value)
