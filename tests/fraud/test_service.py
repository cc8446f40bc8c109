from prometheus_client import REGISTRY

from fraud.service import Service
from fraud.settings import Settings


def test_a_refresh_measures_the_memory_of_the_store(own_redis, bundle_directory, tmp_path):
    service = Service(Settings(
        model=str(bundle_directory), history=own_redis("--maxmemory", "50mb").url,
        history_deadline_ms=5_000.0, decision_log=str(tmp_path / "log")),
        fallback_on_store_error=True)
    service.refresh()
    service.close()
    used, limit = (REGISTRY.get_sample_value(f"fraud_history_memory_{name}")
                   for name in ("bytes", "limit_bytes"))
    assert 0 < used < limit == 50 * 2 ** 20
