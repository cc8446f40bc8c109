"""Envoy Gateway on a cluster, and connections to the API through it."""

import json
import shutil
import socket
import ssl
from http.client import HTTPSConnection
from pathlib import Path

from tests.k8s.cluster import programs
from tests.k8s.cluster.cluster import HERE, Cluster, eventually, run

NAMESPACE = "envoy-gateway-system"
HOST = "fraud.example.com"              # as in k8s/base/gateway/gateway.yaml
ADDRESS = "10.99.1.1"                   # of the load balancer, which leads to the first node
IMAGES = {"envoy-gateway": f"envoyproxy/gateway:v{programs.VERSIONS['ENVOY_GATEWAY']}",
          "envoy": f"envoyproxy/envoy:distroless-v{programs.VERSIONS['ENVOY']}"}
OWNED = ("gateway.envoyproxy.io/owning-gateway-namespace=fraud,"
         "gateway.envoyproxy.io/owning-gateway-name=fraud-api")
CLASS = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
         "metadata": {"name": "envoy"},
         "spec": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"}}


def install(cluster: Cluster, folder: Path) -> None:
    """Install Envoy Gateway from its chart, and the GatewayClass that k8s/README.md names."""
    for name, published in IMAGES.items():
        context = folder / name
        shutil.copytree(HERE / "images" / name, context)
        shutil.copy(programs.BIN / name, context)
        run("docker", "build", "--quiet", "--tag", f"fraud-cluster/{name}", context)
        cluster.load(f"fraud-cluster/{name}", published)
    run("helm", "install", "envoy-gateway", programs.CHART, "--namespace", NAMESPACE,
        "--create-namespace", "--wait", "--timeout", "5m",
        "--set", f"global.images.envoyProxy.image=docker.io/{IMAGES['envoy']}",
        env=cluster.environment)
    cluster.apply(CLASS)


def certificate(folder: Path) -> Path:
    """Create a certificate of the host name, and next to it the key, with the suffix `.key`."""
    path = folder / "tls.crt"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
        "-keyout", path.with_suffix(".key"), "-out", path)
    return path


def balance(cluster: Cluster) -> str:
    """Give the Service of Envoy the address of a load balancer; return its name.

    Like that of a cloud it leads to a node, which keeps the addresses of callers.
    """
    [name] = eventually(lambda: [item["metadata"]["name"] for item in cluster.get(
        "-n", NAMESPACE, "services", "-l", OWNED)["items"]], seconds=180)
    cluster.kubectl("-n", NAMESPACE, "patch", "service", name, "--subresource=status", "--patch",
                    json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}}))
    run("ip", "route", "replace", ADDRESS, "via", "10.99.0.11")
    return name


class Connection(HTTPSConnection):
    """A connection to an address of Envoy under the host name, which the certificate proves.

    Args:
        source: the address of the caller, one of this machine.
        name: another host name to ask for.
    """

    def __init__(self, address: str, certificate: Path, *, source: str = "", name: str = HOST,
                 timeout: float = 30):
        self._tls = ssl.create_default_context(cafile=str(certificate))
        super().__init__(name, timeout=timeout, source_address=(source, 0), context=self._tls)
        self._address = address

    def connect(self) -> None:
        connection = socket.create_connection(
            (self._address, self.port), self.timeout, self.source_address)
        self.sock = self._tls.wrap_socket(connection, server_hostname=self.host)

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str
             ) -> tuple[int, bytes]:
        """Send a request; return status and content of the response."""
        self.request(method, path, body, headers)
        response = self.getresponse()
        return response.status, response.read()
