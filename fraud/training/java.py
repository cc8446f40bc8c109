"""The Java runtime that Spark needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from fraud.training.errors import TrainingError

JAVA_NEEDED = 17


def check_java() -> None:
    """Raise TrainingError unless Spark will find a Java that is new enough."""
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    install = "install it: apt-get install default-jre-headless"
    if not java or not shutil.which(java):
        raise TrainingError(f"Java is missing and Spark needs {JAVA_NEEDED} or newer; {install}")
    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'.*version "(?:1\.)?(\d+).*', output)
    if not version or int(version[1]) < JAVA_NEEDED:
        raise TrainingError(f"{java} is {version[0] if version else 'not Java'}; "
                            f"Spark needs Java {JAVA_NEEDED} or newer; {install}")
