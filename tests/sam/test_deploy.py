"""The job that deploys, as it is written: bootstrap, `make deploy`, `make smoke`, on a stand-in.

cloud.py lists the kinds of resources that the stand-in does not make. API Gateway and the function
are a server of this tree.
"""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import requests
from moto.iam.access_control import IAMPolicy, PermissionResult

from fraud.training.registry import publication
from tests.flows.running import bare_environment
from tests.sam.cloud import LEFT_OUT, NOT_MADE, REGION, Cloud, cloud
from tests.serve.running import HASH, KEY, Server
from tests.tools import ROOT, need_docker, program, run
from tests.workflow_steps import checkout, run_job

pytestmark = pytest.mark.system
ACCOUNT = "123456789012"
STACK = "fraud"


class Deployed(NamedTuple):
    """The stand-in after the deployment, the lines of the job, and the log of the server."""

    cloud: Cloud
    output: str
    image: str          # its digest, as the job gives it to the steps that sign it
    packages: dict      # sbom.json
    server: Server

    def resources(self, stack: str = STACK) -> dict[str, tuple[str, str]]:
        """Return type and physical name of each resource of a stack, by logical name."""
        listed = self.cloud.client("cloudformation").list_stack_resources(StackName=stack)
        return {each["LogicalResourceId"]: (each["ResourceType"], each["PhysicalResourceId"])
                for each in listed["StackResourceSummaries"]}

    def policies(self, role: str, stack: str = STACK) -> list[IAMPolicy]:
        """Return the inline policies of a role, with all names resolved."""
        iam, (_, name) = self.cloud.client("iam"), self.resources(stack)[role]
        documents = [iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                     for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]]
        # Moto gives back Python's text of what a stack made.
        return [IAMPolicy(json.dumps(ast.literal_eval(document))) for document in documents]

    def boundary(self) -> IAMPolicy:
        arn = f"arn:aws:iam::{ACCOUNT}:policy/{STACK}-boundary"
        version = self.cloud.client("iam").get_policy_version(PolicyArn=arn, VersionId="v1")
        return IAMPolicy(json.dumps(version["PolicyVersion"]["Document"]))


@pytest.fixture(scope="module")
def server(tmp_path_factory, bundle_directory) -> Iterator[Server]:
    """A server of this tree in front of a folder with a champion."""
    directory = tmp_path_factory.mktemp("server")
    publication.publish(bundle_directory, "fraud-detector", str(directory / "models"))
    server = Server(directory, FRAUD_MODEL=str(directory / "models"), FRAUD_API_KEYS=HASH)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory, server) -> Iterator[Deployed]:
    """AWS after an administrator's first steps of sam/README.md and the workflow's job."""
    need_docker()
    directory = tmp_path_factory.mktemp("cloud")
    tree = checkout(directory / "checkout")
    with cloud(directory, server.url) as aws:
        aws.client("s3").create_bucket(
            Bucket="models", CreateBucketConfiguration={"LocationConstraint": REGION})
        environment = bare_environment() | aws.environment | {
            "DOCKER_BUILDKIT": "0", "GITHUB_OUTPUT": str(directory / "outputs")}
        for command in (
                ["s3", "sync", server.log.parent / "models", "s3://models/champions"],
                ["ssm", "put-parameter", "--name", f"/{STACK}/api-keys", "--type", "String",
                 "--value", HASH],
                ["cloudformation", "deploy", "--template-file", "sam/bootstrap.yaml",
                 "--stack-name", "fraud-bootstrap", "--capabilities", "CAPABILITY_NAMED_IAM",
                 "--parameter-overrides", "GitHubRepository=owner/name", "ModelBucket=models"]):
            subprocess.run([program("aws"), *command], cwd=tree, env=environment, check=True,
                           capture_output=True)
        output = run_job("deploy/lambda", tree, {
            "vars.FRAUD_MODEL": "s3://models/champions",
            "vars.AWS_IMAGE_REPOSITORY": f"{aws.registry}/{STACK}",
            "vars.AWS_CLOUDFORMATION_ROLE": f"arn:aws:iam::{ACCOUNT}:role/cloudformation",
            "secrets.FRAUD_KEY": KEY}, environment, {})
        yield Deployed(aws, output, (directory / "outputs").read_text().strip(),
                       json.loads((tree / "sbom.json").read_text()), server)
        pushed = run("docker", "image", "ls", f"{aws.registry}/{STACK}", "--format",
                     "{{.Repository}}:{{.Tag}}").split()
        run("docker", "image", "rm", *pushed)


def test_a_change_set_makes_every_kind_of_resource_that_the_stand_in_has(deployed):
    [asked] = deployed.cloud.change_sets
    kinds = {resource["Type"] for resource in asked["Resources"].values()}
    made = {kind for kind, _ in deployed.resources().values()}
    assert kinds - made == NOT_MADE | LEFT_OUT & kinds
    assert deployed.resources("fraud-bootstrap").keys() >= {
        "Repository", "DeployRole", "CloudFormationRole", "Boundary"}


def test_the_function_has_the_pushed_image_and_the_settings_of_the_template(deployed):
    _, name = deployed.resources()["Function"]
    function = deployed.cloud.client("lambda").get_function(FunctionName=name)
    repository, _, tag = function["Code"]["ImageUri"].rpartition(":")
    assert repository == f"{deployed.cloud.registry}/{STACK}"
    manifest = requests.get(
        f"http://{deployed.cloud.registry}/v2/{STACK}/manifests/{tag}", timeout=30,
        headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"})
    assert f"digest={manifest.headers['Docker-Content-Digest']}" == deployed.image
    variables = function["Configuration"]["Environment"]["Variables"]
    assert variables["FRAUD_HISTORY"] == f"dynamodb://{deployed.resources()['HistoryTable'][1]}"
    assert function["Configuration"]["Timeout"] == 15


def test_the_smoke_test_scores_a_payment_with_the_key(deployed):
    body = deployed.output[deployed.output.rindex('{"transaction_id":"'):]
    answer, _ = json.JSONDecoder().raw_decode(body)
    assert answer["decision"] in ("approve", "review", "decline")
    [decision] = map(json.loads, deployed.server.decisions.read_text().splitlines())
    assert decision["transaction_id"] == answer["transaction_id"]


def test_the_packages_of_the_image_are_listed_with_their_digests(deployed):
    pins = (ROOT / "serve/requirements.txt").read_text()
    pinned = re.findall(r"^([\w.-]+)==", pins, re.MULTILINE)
    components = {component["name"]: component for component in deployed.packages["components"]}
    assert components.keys() == set(pinned)
    assert all(component["externalReferences"][0]["hashes"] for component in components.values())


# Permissions, decided by moto's evaluation of the policies as they are deployed.

def allowed(policies: list[IAMPolicy], action: str, resource: str, **conditions: str) -> bool:
    results = {policy.is_action_permitted(action, resource, None, conditions or None)
               for policy in policies}
    return PermissionResult.PERMITTED in results and PermissionResult.DENIED not in results


def test_the_function_may_use_its_table_its_log_and_nothing_else(deployed):
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{deployed.resources()['HistoryTable'][1]}"
    log = f"{deployed.resources()['FunctionLogs'][1]}:log-stream:1"
    function, boundary = deployed.policies("FunctionRole"), [deployed.boundary()]
    for action in ("BatchGetItem", "PutItem", "UpdateItem"):
        for policies in (function, boundary):
            assert allowed(policies, f"dynamodb:{action}", table)
            assert not allowed(policies, f"dynamodb:{action}", table.replace(STACK, "other"))
    for action in ("dynamodb:DeleteItem", "dynamodb:Scan", "dynamodb:DeleteTable"):
        assert not allowed(function, action, table) and not allowed(boundary, action, table)
    for action, resource in (
            ("s3:GetObject", "arn:aws:s3:::models/champion.json"), ("s3:PutObject", "*"),
            ("iam:CreateRole", "*"), ("sts:AssumeRole", "*"), ("lambda:UpdateFunctionCode", "*"),
            ("secretsmanager:GetSecretValue", "*"), ("logs:DeleteLogGroup", log)):
        assert not allowed(function, action, resource), action
    for action in ("iam:CreateRole", "sts:AssumeRole", "s3:PutObject", "logs:DeleteLogGroup"):
        assert not allowed(boundary, action, "*"), action


def test_the_workflow_may_change_its_stack_and_push_its_image_only(deployed):
    deploy = deployed.policies("DeployRole", "fraud-bootstrap")
    repository = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{STACK}"
    stack = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/1"
    for action, resource in (("ecr:PutImage", repository),
                             ("cloudformation:ExecuteChangeSet", stack)):
        assert allowed(deploy, action, resource)
        assert not allowed(deploy, action, resource.replace(f"/{STACK}", "/other"))
    for action in ("ecr:DeleteRepository", "cloudformation:DeleteStack", "iam:CreateRole",
                   "iam:AttachRolePolicy", "lambda:UpdateFunctionCode", "dynamodb:DeleteTable",
                   "secretsmanager:GetSecretValue", "ssm:GetParameter", "s3:PutObject"):
        assert not allowed(deploy, action, "*") and not allowed(deploy, action, stack), action


def test_a_deployment_makes_no_role_outside_the_boundary(deployed):
    change = deployed.policies("CloudFormationRole", "fraud-bootstrap")
    role = f"arn:aws:iam::{ACCOUNT}:role/{STACK}-FunctionRole-1"
    boundary = {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/{STACK}-boundary"}
    administrator = {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}
    for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"):
        assert allowed(change, action, role, **boundary)
        assert not allowed(change, action, role, **administrator)
        assert not allowed(change, action, role.replace(STACK, "other"), **boundary)
    for action in ("iam:DeleteRolePermissionsBoundary", "iam:CreatePolicyVersion",
                   "iam:CreateUser"):
        assert not allowed(change, action, "*", **boundary), action
