"""Steps of a Metaflow flow: their declaration, user errors, shared files, and the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from metaflow import card, parameters, resources, retry, step, timeout, user_step_decorator
from metaflow.exception import (
    METAFLOW_EXIT_DISALLOW_RETRY, MetaflowException, MetaflowInternalError)

from fraud.errors import FraudError
from fraud.training import settings, workspace
from fraud.training.errors import LostProcess

# Metaflow's words for a run in which a step has exited with METAFLOW_EXIT_DISALLOW_RETRY.
ENDED_BY_USER_ERROR = "was not successful by the end of flow"
SETTINGS_FILE = "FRAUD_SETTINGS_FILE"       # path; Metaflow gives steps only the content


@user_step_decorator
def user_errors(step_name, flow, inputs, attributes):
    """Print user-fixable errors as one line without a traceback; retry after a `LostProcess` alone.
    """
    try:
        yield
    except LostProcess as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except FraudError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(METAFLOW_EXIT_DISALLOW_RETRY)


@user_step_decorator
def sync_workspace(step_name, flow, inputs, attributes):
    """Fetch the files of earlier steps from `--workspace-uri`, and store new ones there."""
    if not flow.workspace_uri:
        yield
        return
    workspace.location(flow.workspace_uri, "")      # refuses a wrong URI before any work is done
    fetched = {}
    if step_name != "start":
        folder = Path((flow if inputs is None else inputs[0]).workspace)
        fetched = workspace.fetch(workspace.location(flow.workspace_uri, folder.name), folder)
    yield
    folder = Path(flow.workspace)
    workspace.store(folder, workspace.location(flow.workspace_uri, folder.name), fetched)


def training_step(cpu, memory, hours=1, retries=0, has_card=False):
    """Declare a step: cores, memory (MB), time limit, retries, and whether it has a card."""
    def declare(function):
        declared = step(function)
        if has_card:
            declared = card(type="blank")(declared)
        declared = timeout(hours=hours)(user_errors(sync_workspace(declared)))
        declared = resources(cpu=cpu, memory=memory)(declared)
        return retry(times=retries, minutes_between_retries=0)(declared) if retries else declared

    return declare


def run_command(flow_class):
    """Run the flow's command of this process and exit: with 2 after a user error.

    After a run its summary is printed once more, without Metaflow's prefixes.
    """
    for flag, name, file in zip(sys.argv, sys.argv[1:], sys.argv[2:], strict=False):
        if (flag, name) == ("--config", "settings"):
            os.environ[SETTINGS_FILE] = str(Path(file).absolute())
    with parameters.flow_context(flow_class):
        from metaflow import cli  # its options are those of the flow in this context

        _exit(flow_class, cli)


def _exit(flow_class, cli):
    try:
        cli.main(flow_class(use_cli=False), handle_exceptions=False)
    except SystemExit as exit_:
        arguments = set(sys.argv[1:])
        if not exit_.code and arguments & {"run", "resume"} and "--help" not in arguments:
            _print_summary(flow_class.__name__)
        raise
    except MetaflowInternalError as error:
        if ENDED_BY_USER_ERROR not in str(error):
            raise
        sys.exit(2)         # the step that ended the run has printed the error
    except MetaflowException as error:
        cli.print_metaflow_exception(error)
        sys.exit(1)


def settings_file() -> str:
    """Return the path of the settings that the command line names, or of the default ones."""
    return os.environ.get(SETTINGS_FILE) or str(settings.FILE)


def _print_summary(flow_name):
    from metaflow import Flow, namespace

    namespace(None)
    print(f"\n{Flow(flow_name).latest_successful_run.data.summary}")
