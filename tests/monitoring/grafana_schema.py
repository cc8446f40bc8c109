"""Pass dashboards through the classes of Grafana's schema, JSON in and out; runs in .venv-tools."""

import json
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

if __name__ == "__main__":
    register_default_plugins()
    dashboards = [Dashboard.from_json(dashboard) for dashboard in json.load(sys.stdin)]
    sys.stdout.write(JSONEncoder().encode(dashboards))
