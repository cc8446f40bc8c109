"""A stand-in for AWS: moto's server, a registry of images, and SAM's transform of change sets."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.cloudformation.models import CloudFormationBackend
from moto.ecr.responses import ECRResponse
from moto.server import ThreadedMotoServer

from stream.broker import free_port
from tests.tools import ROOT, program

REGION = "eu-west-1"
# Moto's CloudFormation cannot make these, or not from what SAM makes of the template.
NOT_MADE = {
    "AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Stage", "AWS::CloudWatch::Alarm",
    "AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup", "AWS::Lambda::Alias",
    "AWS::Lambda::Permission", "AWS::Logs::MetricFilter"}
# It leaves these out with a warning.
LEFT_OUT = {"AWS::SecretsManager::Secret", "AWS::IAM::OIDCProvider"}


class Cloud(NamedTuple):
    """Addresses of the stand-in."""

    endpoint: str
    registry: str               # HOST:PORT of the images
    change_sets: list[dict]     # templates as SAM has transformed them

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead AWS' programs to it."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test", "SAM_CLI_TELEMETRY": "0"}

    def client(self, service: str) -> Any:
        return boto3.client(service, REGION, endpoint_url=self.endpoint,
                            aws_access_key_id="test", aws_secret_access_key="test")


@contextmanager
def cloud(directory: Path, url: str) -> Iterator[Cloud]:
    """Run the stand-in.

    Args:
        directory: receives the images.
        url: address that the stack gives as its output `Url`, for API Gateway.
    """
    registry, configuration = f"localhost:{free_port()}", directory / "registry.yml"
    configuration.write_text(json.dumps({
        "version": "0.1", "http": {"addr": registry},
        "storage": {"filesystem": {"rootdirectory": str(directory / "registry")}}}))
    images = subprocess.Popen([program("docker-registry"), "serve", configuration],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    urlopen(Request(f"{endpoint}/moto-api/reset", method="POST"))     # all of a process share state
    change_sets: list[dict] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ECRResponse, "get_authorization_token", _login_to(registry))
        patch.setattr(CloudFormationBackend, "create_change_set", _transform(change_sets, url))
        patch.setattr(CloudFormationBackend, "execute_change_set", _with_outputs())
        try:
            yield Cloud(endpoint, registry, change_sets)
        finally:
            server.stop()
            images.kill()
            images.wait()


def _login_to(registry: str) -> Callable:
    answer = ECRResponse.get_authorization_token

    def get_authorization_token(self):
        result = answer(self)
        for data in result.result["authorizationData"]:
            data["proxyEndpoint"] = f"http://{registry}"
        return result

    return get_authorization_token


def _transform(change_sets: list[dict], url: str) -> Callable:
    create = CloudFormationBackend.create_change_set

    def create_change_set(self, stack_name, change_set_name, template, parameters, *args, **kwargs):
        if "AWS::Serverless" in template:
            [full] = translated(template)
            change_sets.append(full)
            template = json.dumps(_makeable(full, parameters, url))
        return create(self, stack_name, change_set_name, template, parameters, *args, **kwargs)

    return create_change_set


def _with_outputs() -> Callable:
    """Give stacks that change sets made the outputs of their templates, which moto forgets."""
    execute = CloudFormationBackend.execute_change_set

    def execute_change_set(self, change_set_name, stack_name=None):
        execute(self, change_set_name, stack_name)
        stack = self.stacks[self.describe_change_set(change_set_name).stack_id]
        stack._parse_template()
        stack.output_map = stack._create_output_map()

    return execute_change_set


def _makeable(template: dict, parameters: dict[str, str], url: str) -> dict:
    """Return the part of a template that moto can make."""
    resources = {name: _settled(resource, parameters)
                 for name, resource in template["Resources"].items()
                 if resource["Type"] not in NOT_MADE}
    outputs = template["Outputs"] | {"Url": {"Value": url}}
    return template | {"Resources": resources, "Outputs": outputs}


def _settled(value: Any, parameters: dict[str, str]) -> Any:
    """Leave out what a condition excludes from lists: moto would take it for an element."""
    if isinstance(value, dict):
        return {name: _settled(part, parameters) for name, part in value.items()}
    if isinstance(value, list):
        return [_settled(part, parameters) for part in value if not _excluded(part, parameters)]
    return value


def _excluded(part: Any, parameters: dict[str, str]) -> bool:
    if not (isinstance(part, dict) and "Fn::If" in part):
        return False
    condition, _, otherwise = part["Fn::If"]
    parameter = condition.removeprefix("Has")       # the template's conditions: not empty
    return otherwise == {"Ref": "AWS::NoValue"} and not parameters.get(parameter)


def translated(*texts: str) -> list[dict]:
    """Return the CloudFormation templates that SAM translates templates into."""
    program("sam")
    python = ROOT / ".venv-tools" / "bin" / "python"
    done = subprocess.run([python, ROOT / "tests/sam/translate.py"], input=json.dumps(texts),
                          capture_output=True, text=True,
                          env={**os.environ, "AWS_DEFAULT_REGION": REGION})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
