"""Files that the commands of the registry take."""

import json

import pytest


@pytest.fixture
def policy(place):
    """Writes a policy.json of a version with a threshold of one's choice."""
    def write(version: str, decline: float):
        thresholds = {"review": 0.1, "decline": decline}
        path = place / "policy.json"
        path.write_text(json.dumps({"version": version, "model": thresholds,
                                    "fallback": thresholds}))
        return path

    return write
