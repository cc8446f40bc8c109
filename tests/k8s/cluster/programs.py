"""The programs of a cluster, built from the Go module proxy once for each of their versions."""

import os
import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

SOURCES = Path(__file__).with_name("programs")
VERSIONS = dict(re.findall(r"^(\w+)=(.+)$", (SOURCES / "versions.sh").read_text(), re.MULTILINE))
VERSION = VERSIONS["KUBERNETES"]
FOLDER = Path.home() / ".cache/fraud-cluster" / VERSION
BIN, CRDS, CHART = FOLDER / "bin", FOLDER / "crds", FOLDER / "chart"
MARK = FOLDER / "built"         # the digest of what was built
CGROUP_V1 = Path("/sys/fs/cgroup/cpuset")
NEEDED = ("containerd", "conntrack", "ctr", "docker", "go", "ip", "iptables", "nsenter", "openssl",
          "runc", "/usr/lib/cni/ptp")


def digest() -> str:
    """Return the SHA-256 of the sources and versions."""
    files = sorted(path for path in SOURCES.rglob("*") if path.is_file())
    return sha256(b"".join(map(Path.read_bytes, files))).hexdigest()


def are_built() -> bool:
    return MARK.exists() and MARK.read_text() == digest()


def build() -> None:
    """Build the programs unless they are: minutes the first time."""
    if not are_built():
        subprocess.run([SOURCES / "build.sh", FOLDER], check=True)
        MARK.write_text(digest())


def obstacle() -> str:
    """Return the reason for which tests on a cluster do not run here; empty if they do.

    FRAUD_CLUSTER=always builds what is missing, `never` leaves the tests out, and without it they
    run where nothing needs to be built.
    """
    choice = os.environ.get("FRAUD_CLUSTER")
    if choice == "never":
        return "FRAUD_CLUSTER=never"
    if os.geteuid() != 0:
        return "they need root"
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        return f"{', '.join(missing)} missing"
    if not CGROUP_V1.exists():
        return "they need cgroup v1"
    if choice != "always" and not are_built():
        return f"Kubernetes {VERSION} is not built here, which make test-cluster does"
    return ""
