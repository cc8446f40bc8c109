"""The workspace of the notebooks: the project's folder, runs of the flow and the champion."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Missing(Exception):
    """Data that a notebook needs is missing. Only the message is shown; it names the command."""

    def _render_traceback_(self) -> list[str]:      # IPython's hook
        return [str(self)]


def enter() -> None:
    """Change to the project's folder, as commands expect, and import its programs from there."""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    warnings.filterwarnings("ignore", "IProgress not found")    # from MLflow: no bars are shown


def latest_run():
    """Return the latest successful run of the flow, of any user.

    Raises:
        Missing: there is none, or its files were removed.
    """
    from metaflow import Flow, namespace
    from metaflow.exception import MetaflowNotFound

    namespace(None)
    try:
        run = Flow("TrainFlow").latest_successful_run
    except MetaflowNotFound:
        run = None
    if run is None:
        raise Missing(f"No training run has succeeded in {ROOT} yet; run `make train`")
    return _with_files(run)


def find_run(pathspec: str):
    """Return the run of the flow that a path like "TrainFlow/1795580448020391" names.

    Raises:
        Missing: there is none, or its files were removed.
    """
    from metaflow import Run, namespace
    from metaflow.exception import MetaflowNotFound

    namespace(None)
    try:
        run = Run(pathspec)
    except MetaflowNotFound:
        raise Missing(f"The run {pathspec} is not in {ROOT}; run `make train`") from None
    return _with_files(run)


def _with_files(run):
    folder = run.data.workspace
    if not Path(folder).is_dir():
        raise Missing(f"The files of the run {run.pathspec} are not in {folder}; run `make train`")
    return run


def champion():
    """Return the champion's bundle, from the folder or s3:// prefix that FRAUD_MODEL names.

    Raises:
        Missing: there is none.
    """
    from fraud.bundle import BundleError
    from fraud.champion import Champion
    from fraud.training.registry import publication

    try:
        return Champion(publication.target()).bundle
    except BundleError as error:
        raise Missing(f"There is no champion ({error}); run `make train`") from None
