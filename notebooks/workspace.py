"""Where the notebooks work: the project's folder, and what `make train` left there."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Missing(Exception):
    """There is nothing to look at yet. A notebook shows the message alone, which names what to run.
    """

    def _render_traceback_(self) -> list[str]:      # IPython's hook
        return [str(self)]


def enter() -> None:
    """Work in the project's folder, as commands do, and import its programs from there."""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    warnings.filterwarnings("ignore", "IProgress not found")    # of MLflow: no bars are shown


def latest_run():
    """Metaflow's latest run of the flow that ended well, whoever started it.

    Raises:
        Missing: there is none.
    """
    from metaflow import Flow, namespace
    from metaflow.exception import MetaflowNotFound

    namespace(None)
    try:
        run = Flow("TrainFlow").latest_successful_run
    except MetaflowNotFound:
        run = None
    if run is None:
        raise Missing(f"No run of the flow has ended well in {ROOT}: make train")
    return run


def champion():
    """The bundle that serves, from the folder or s3:// prefix that FRAUD_MODEL names.

    Raises:
        Missing: there is none.
    """
    from fraud.bundle import BundleError
    from fraud.champion import Champion
    from fraud.training import publication

    try:
        return Champion(publication.target()).bundle
    except BundleError as error:
        raise Missing(f"There is no champion ({error}): make train") from None
