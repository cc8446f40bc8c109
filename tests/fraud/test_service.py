import msgspec
from prometheus_client import REGISTRY

import fraud.service
from fraud.bundle import CanaryPointer
from fraud.service import Service
from fraud.settings import Settings
from fraud.training.registry import publication
from tests.factories import payment


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


def test_a_service_follows_a_canary_until_it_ends(make_bundle, tmp_path):
    for version in ("1", "2"):
        make_bundle(tmp_path / version, version=version)
    folder = str(tmp_path / "models")
    publication.publish(tmp_path / "1", "fraud-detector", folder)
    service = Service(Settings(model=folder, decision_log=str(tmp_path / "log"), clock="event"),
                      fallback_on_store_error=True)

    def versions(name: str) -> set[str]:
        outcomes = service.score([payment(f"{name}{number}", origin=f"C{number}")
                                  for number in range(40)])
        return {outcome.decision.model_version for outcome in outcomes}

    def measured(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(name, labels)

    assert versions("a") == {"1"}
    pointer = publication.add_bundle(tmp_path / "2", "fraud-detector", folder)
    publication.write_pointer(CanaryPointer(**msgspec.structs.asdict(pointer), share=50, since=7),
                              folder, "canary.json")
    service.refresh()
    assert versions("b") == {"1", "2"}
    assert measured("fraud_canary_share") == 50
    assert measured("fraud_model_errors_total", model_version="2") == 0
    assert measured("fraud_model_seconds_count", model_version="2") == 1
    publication.remove(folder, "canary.json")
    service.refresh()
    assert versions("c") == {"1"} and measured("fraud_canary_share") == 0
    service.close()
