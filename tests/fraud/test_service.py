from prometheus_client import REGISTRY

import fraud.service
from fraud.service import Service
from fraud.settings import Settings


def test_a_refresh_measures_the_memory_of_the_store_now_and_then(
        own_redis, bundle_directory, tmp_path, monkeypatch):
    def measured() -> tuple[float | None, ...]:
        return tuple(REGISTRY.get_sample_value(f"fraud_history_memory_{name}")
                     for name in ("bytes", "limit_bytes"))

    before = measured()
    service = Service(Settings(
        model=str(bundle_directory), history=own_redis("--maxmemory", "50mb").url,
        history_deadline_ms=5_000.0, decision_log=str(tmp_path / "log")),
        fallback_on_store_error=True)
    service.refresh()
    assert measured() == before         # it has just started
    monkeypatch.setattr(fraud.service, "MEASURE_SECONDS", 0.0)
    service.refresh()
    service.close()
    used, limit = measured()
    assert 0 < used < limit == 50 * 2 ** 20
