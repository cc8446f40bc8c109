"""A Kubernetes of two nodes on this machine."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.k8s.cluster import programs

HERE = Path(__file__).parent
STATE = programs.FOLDER / "state"
CONFIG = STATE / "keys/admin.conf"
NODES = ("n1", "n2")
VOLUMES = Path("/tmp/fraud-cluster-volumes")     # Kubernetes deletes volumes below /tmp alone
RUNS_AS = 65532


def run(*command: str | Path, **options) -> str:
    """Run a command, which must succeed, and return its output."""
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def eventually(holds: Callable[[], object], seconds: float = 60):
    """Return the result of a call once it is true."""
    end = time.monotonic() + seconds
    while not (result := holds()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.2)
    return result


class Cluster:
    """Starts the nodes, and gives access to them."""

    environment = os.environ | {
        "KUBECONFIG": str(CONFIG), "PATH": f"{programs.BIN}:{os.environ['PATH']}"}

    def __init__(self) -> None:
        self.stop()         # a run before may have been killed
        run(HERE / "nodes.sh", "up", programs.BIN, STATE)

    def stop(self) -> None:
        run(HERE / "nodes.sh", "down", programs.BIN, STATE)
        run("rm", "-rf", VOLUMES)

    def kubectl(self, *arguments: str | Path, **options) -> str:
        return run("kubectl", *arguments, env=self.environment, **options)

    def get(self, *arguments: str) -> dict:
        return json.loads(self.kubectl("get", "-o", "json", *arguments))

    def apply(self, *objects: dict) -> None:
        self.kubectl("apply", "-f", "-", input=json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": objects}))

    def load(self, image: str, name: str | None = None) -> None:
        """Copy an image of Docker to all nodes, under another name if one is given."""
        archive = STATE / "image.tar"
        run("docker", "save", "--output", archive, image)
        for node in NODES:
            self.containers(node, "images", "import", str(archive))
            if name:
                self.containers(node, "images", "tag", "--force", full(image), full(name))
        archive.unlink()

    def containers(self, node: str, *arguments: str) -> str:
        """Run containerd's command on a node."""
        return run("ctr", "--address", f"/run/fraud-cluster/{node}/containerd.sock",
                   "--namespace", "k8s.io", *arguments)

    def on_nodes(self, *command: str) -> None:
        """Run a command in the network of each node."""
        for node in NODES:
            run("nsenter", f"--net=/run/netns/fraud-{node}", *command)

    def add_volumes(self, count: int) -> None:
        """Create volumes that claims of the default StorageClass may have."""
        for _ in range(count):
            folder = VOLUMES / str(time.time_ns())
            folder.mkdir(parents=True)
            os.chown(folder, RUNS_AS, RUNS_AS)
            self.apply({
                "apiVersion": "v1", "kind": "PersistentVolume",
                "metadata": {"name": f"volume-{folder.name}"},
                "spec": {"capacity": {"storage": "20Gi"}, "accessModes": ["ReadWriteOnce"],
                         "storageClassName": "standard", "hostPath": {"path": str(folder)},
                         "persistentVolumeReclaimPolicy": "Delete"}})

    def address(self, service: str, namespace: str = "fraud") -> str:
        """Return the address of a Service, which this machine can reach."""
        return self.get("-n", namespace, "service", service)["spec"]["clusterIP"]

    def pods(self, name: str, namespace: str = "fraud") -> list[dict]:
        """Return the pods of an application that are to stay."""
        return [pod for pod in self._all_pods(name, namespace)
                if "deletionTimestamp" not in pod["metadata"]]

    def leaving_pods(self, name: str, namespace: str = "fraud") -> list[dict]:
        """Return the pods of an application that are being deleted."""
        return [pod for pod in self._all_pods(name, namespace)
                if "deletionTimestamp" in pod["metadata"]]

    def _all_pods(self, name: str, namespace: str) -> list[dict]:
        label = f"app.kubernetes.io/name={name}"
        return self.get("-n", namespace, "pods", "-l", label)["items"]

    def wait_for_rollout(self, *names: str, namespace: str = "fraud") -> None:
        for name in names:
            self.kubectl("-n", namespace, "rollout", "status", "--timeout=3m", name)

    def rest(self) -> list[str]:
        """Return running containers and claimed volumes that the namespace fraud left behind."""
        def volumes() -> list[str]:
            return [item["metadata"]["name"] for item in self.get("persistentvolumes")["items"]
                    if "claimRef" in item["spec"]]

        eventually(lambda: not volumes())
        return [name for node in NODES for name in self.names(node, "pod.namespace", "fraud")
                if name in self.containers(node, "tasks", "ls", "--quiet")]

    def names(self, node: str, label: str, value: str) -> list[str]:
        """Return the containers of a node with a value of a label of Kubernetes."""
        condition = f'labels."io.kubernetes.{label}"=={value}'
        return self.containers(node, "containers", "ls", "--quiet", condition).split()

    def logs(self) -> str:
        """Return the state of all pods, for a failed test."""
        return self.kubectl("get", "pods,events", "-A", "-o", "wide")


def full(image: str) -> str:
    """Return the name of an image as containerd has it."""
    registry, slash, _ = image.rpartition("/")
    prefix = "" if "." in registry else "docker.io/" if slash else "docker.io/library/"
    return f"{prefix}{image}" + ("" if ":" in image else ":latest")
