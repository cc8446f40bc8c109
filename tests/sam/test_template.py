"""The templates: valid, with least privilege, and in agreement with the app and its store.

AWS cannot run here. SAM's translator shows the changes that a deployment would make; moto creates
the table that the template describes, and the real store uses it.
"""

import json
import os
import tomllib
from typing import get_args

import boto3
import pytest
import yaml
from moto.cloudformation.utils import yaml_tag_constructor

from fraud.decision import Decision, History
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.stores.encoding import VERSION
from fraud.transaction import parse
from serve import docs
from serve.keys import Keys
from serve.settings import ServeSettings
from tests.sam.cloud import translated
from tests.tools import ROOT, routes, run, shell_blocks

SAM = ROOT / "sam"
TEMPLATES = ["template.yaml", "bootstrap.yaml"]
IMAGE = "1.dkr.ecr.eu-west-1.amazonaws.com/fraud"
NOT_PUBLIC = {("GET", "/readyz"), ("GET", "/metrics")}


class Loader(yaml.SafeLoader):
    """Read !Ref and similar tags as CloudFormation's long form."""


Loader.add_multi_constructor("", yaml_tag_constructor)


def load(name: str) -> dict:
    return yaml.load((SAM / name).read_text(), Loader)


@pytest.fixture(scope="module")
def template() -> dict:
    return load("template.yaml")


@pytest.fixture(scope="module")
def bootstrap() -> dict:
    return load("bootstrap.yaml")


def function(template: dict) -> dict:
    return template["Resources"]["Function"]["Properties"]


def gateway_routes(template: dict) -> set[tuple[str, str]]:
    return {(event["Properties"]["Method"], event["Properties"]["Path"])
            for event in function(template)["Events"].values()}


def of_type(template: dict, kind: str) -> dict[str, dict]:
    return {name: resource for name, resource in template["Resources"].items()
            if resource["Type"] == kind}


def inline_statements(role: dict) -> dict[str, dict]:
    """Return the one statement of each inline policy of a role, conditions taken as met."""
    policies = [policy["Fn::If"][1] if "Fn::If" in policy else policy
                for policy in role["Properties"]["Policies"]]
    return {policy["PolicyName"]: policy["PolicyDocument"]["Statement"][0] for policy in policies}


def listed(value) -> list:
    return value if isinstance(value, list) else [value]


def packaged(tag: str = "1") -> str:
    """Return the template as `sam package` writes it: with a pushed image."""
    kind = "PackageType: Image\n"
    return (SAM / "template.yaml").read_text().replace(
        kind, f"{kind}      ImageUri: {IMAGE}:{tag}\n")


# Valid.

@pytest.mark.system
@pytest.mark.parametrize("name", TEMPLATES)
def test_sam_and_its_linter_accept_it(name):
    output = run("sam", "validate", "--lint", "--template", SAM / name, cwd=SAM, env={
        **os.environ, "AWS_DEFAULT_REGION": "eu-west-1", "SAM_CLI_TELEMETRY": "0"})
    assert "is a valid SAM Template" in output


@pytest.mark.system
@pytest.mark.parametrize("name", TEMPLATES)
def test_checkov_finds_nothing(name):
    output = run("checkov", "--config-file", SAM / ".checkov.yaml", "--file", SAM / name)
    assert "Failed checks: 0" in output


def test_the_build_finds_the_dockerfile_and_its_context(template):
    build = template["Resources"]["Function"]["Metadata"]
    context = (SAM / build["DockerContext"]).resolve()
    assert context == ROOT and (context / build["Dockerfile"]).is_file()


# Public routes.

def test_the_gateway_exposes_public_routes_of_the_app_only(template, app):
    assert gateway_routes(template) <= routes(app) - NOT_PUBLIC
    assert not any("+}" in path or "$" in path for _, path in gateway_routes(template))


def test_the_gateway_exposes_all_documented_routes_except_readiness(template):
    documented = {(method.upper(), path) for path, methods in docs.document()["paths"].items()
                  for method in methods}
    pages = {("GET", "/docs"), ("GET", "/docs/{name}")}
    assert gateway_routes(template) == documented - NOT_PUBLIC | pages


def test_there_is_no_other_way_to_the_function(template):
    [api] = of_type(template, "AWS::Serverless::HttpApi")
    assert all(event["Type"] == "HttpApi" and event["Properties"]["ApiId"] == {"Ref": api}
               for event in function(template)["Events"].values())
    assert "FunctionUrlConfig" not in function(template)


def test_the_gateway_throttles_and_logs_without_keys(template):
    api = template["Resources"]["Api"]["Properties"]
    assert api["DefaultRouteSettings"]["ThrottlingRateLimit"] == {"Ref": "RequestsPerSecond"}
    assert api["DefaultRouteSettings"]["ThrottlingBurstLimit"] == {"Ref": "RequestsPerSecond"}
    line = json.loads(api["AccessLogSettings"]["Format"])
    assert {"status", "route", "request_id"} <= line.keys()
    assert "authorization" not in api["AccessLogSettings"]["Format"].lower()


# Settings of the function.

def test_every_variable_is_a_setting(template):
    variables = function(template)["Environment"]["Variables"]
    assert variables.keys() <= {f"FRAUD_{field.upper()}"
                                for field in ServeSettings.__struct_fields__}
    assert variables["FRAUD_HISTORY"] == {"Fn::Sub": "dynamodb://${HistoryTable}"}
    assert variables["FRAUD_MODEL"]["Fn::If"][2] == "/models"


def test_keys_come_from_parameter_store_and_secrets_manager(template):
    variables = function(template)["Environment"]["Variables"]
    assert variables["FRAUD_API_KEYS"]["Fn::Sub"].startswith("{{resolve:ssm:/${AWS::StackName}/")
    assert variables["FRAUD_ACCOUNT_KEY"] == {
        "Fn::Sub": "{{resolve:secretsmanager:${AccountKey}}}"}
    assert "SecretString" not in template["Resources"]["AccountKey"]["Properties"]


def test_the_function_outlives_the_requests_that_it_answers_and_the_gateway_outlives_it(template):
    assert ServeSettings().request_seconds < function(template)["Timeout"] < 30


def test_local_settings_let_the_key_local_in_and_need_no_aws():
    [(name, variables)] = json.loads((SAM / "local.json").read_text()).items()
    assert name == "Function" and variables["FRAUD_HISTORY"] == "memory://"
    assert Keys(variables["FRAUD_API_KEYS"]).find("Bearer local")


def test_the_payment_of_the_readme_is_valid(tmp_path):
    [score] = shell_blocks(SAM / "README.md")
    stub = "curl() { printf %s \"${!#}\"; }; URL=u; KEY=k\n"
    assert parse(run("bash", "-euc", stub + score).encode()).transaction_id == "t-1"


# Permissions of the function.

def payment(name: str, amount: float = 1.0):
    return parse(json.dumps({
        "transaction_id": name, "event_time": 1_704_103_200_000, "type": "TRANSFER",
        "amount": amount, "origin": "C1", "destination": "C2", "origin_balance": 9.0,
        "destination_balance": 0.0}))


@pytest.fixture
def table(bucket, template) -> str:
    """The name of the table, made by moto from the template."""
    resources = {"HistoryTable": template["Resources"]["HistoryTable"]}
    boto3.client("cloudformation").create_stack(
        StackName="fraud", TemplateBody=json.dumps({"Resources": resources}))
    [name] = boto3.client("dynamodb").list_tables()["TableNames"]
    return name


@pytest.fixture
def store(table):
    store = open_store(Settings(history=f"dynamodb://{table}", history_deadline_ms=10_000.0))
    yield store
    store.close()


def test_the_function_may_call_what_its_store_calls_and_nothing_else(template, store):
    used = set()

    def note(params, model, **_):
        if model.name == "TransactWriteItems":      # allowed by its parts
            used.update(f"dynamodb:{kind}Item" for item in params["TransactItems"]
                        for kind in item)
        else:
            used.add(f"dynamodb:{model.name}")

    store._client.meta.events.register("before-parameter-build.dynamodb", note)
    [claim, other] = store.claim([payment("a"), payment("b")], 1_704_103_200_000)
    store.claim([payment("a"), payment("a", amount=2.0)], 1_704_103_200_000)
    assert store.finish([claim], [b"answer"]) == [b"answer"]
    assert store.finish([claim, other], [b"another", b"one"]) == [b"answer", b"one"]
    assert store.answer("a") == b"answer"

    allowed = inline_statements(template["Resources"]["FunctionRole"])["history"]
    assert used == set(allowed["Action"])
    assert allowed["Resource"] == {"Fn::GetAtt": ["HistoryTable", "Arn"]}


def test_the_table_deletes_the_items_that_the_store_lets_expire(template, store, table):
    store.claim([payment("a")], 1_704_103_200_000)
    items = boto3.client("dynamodb").scan(TableName=table)["Items"]
    expiry = template["Resources"]["HistoryTable"]["Properties"]["TimeToLiveSpecification"]
    assert expiry["Enabled"] is True
    assert {item["pk"]["S"] for item in items if "N" in item.get(expiry["AttributeName"], {})} == {
        f"{VERSION}#id#a", f"{VERSION}#account#C1", f"{VERSION}#account#C2"}


def test_the_table_is_encrypted_and_can_be_restored(template):
    properties = template["Resources"]["HistoryTable"]["Properties"]
    assert properties["SSESpecification"] == {"SSEEnabled": True}
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert template["Resources"]["HistoryTable"]["UpdateReplacePolicy"] == "Retain"


def test_apart_from_history_the_function_may_log_trace_and_read_published_models(template):
    role = template["Resources"]["FunctionRole"]
    statements = inline_statements(role)
    assert statements.keys() == {"history", "logs", "tracing", "model"}
    assert statements["logs"]["Resource"] == {"Fn::GetAtt": ["FunctionLogs", "Arn"]}
    assert statements["model"]["Action"] == ["s3:GetObject", "s3:ListBucket"]
    bucket, objects = (each["Fn::Sub"] for each in statements["model"]["Resource"])
    assert bucket.endswith(":::${ModelBucket}") and objects == f"{bucket}/${{ModelPrefix}}/*"
    wide = [name for name, statement in statements.items() if statement["Resource"] == "*"]
    assert wide == ["tracing"] and "ManagedPolicyArns" not in role["Properties"]
    assert function(template)["Tracing"] == "Active"
    assert function(template)["Role"] == {"Fn::GetAtt": ["FunctionRole", "Arn"]}


# Deployments.

@pytest.mark.system
def test_new_keys_and_new_images_become_live():
    rotated = packaged().replace("/api-keys:1}}", "/api-keys:2}}")
    assert rotated != packaged()
    now, again, image, keys = (set(of_type(made, "AWS::Lambda::Version")) for made in translated(
        packaged(), packaged(), packaged("2"), rotated))
    assert len(now) == 1 and again == now
    assert image != now and keys != now and image != keys


def test_a_deployment_is_a_canary_that_alarms_take_back(template):
    preference = function(template)["DeploymentPreference"]
    assert preference["Type"] == "Canary10Percent5Minutes"
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    guards = {alarm["Ref"] for alarm in preference["Alarms"]}
    assert guards == {"ErrorsAlarm", "ServerErrorsAlarm", "SlowAlarm", "DegradedAlarm"}
    assert guards < alarms.keys()
    assert all(alarms[name]["Properties"]["Period"] * alarms[name]["Properties"][
        "EvaluationPeriods"] < 300 for name in guards)      # before all calls are shifted


def test_alarms_watch_what_is_live_and_the_log_of_decisions(template):
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    for name in ("ErrorsAlarm", "ThrottlesAlarm", "SlowAlarm"):
        assert {"Name": "Resource", "Value": {"Fn::Sub": "${Function}:live"}} in (
            alarms[name]["Properties"]["Dimensions"])
    assert function(template)["AutoPublishAlias"] == "live"
    decisions = template["Resources"]["DegradedDecisions"]["Properties"]
    assert decisions["FilterPattern"] == '{ $.history = "unavailable" }'
    assert "history" in Decision.__struct_fields__ and "unavailable" in get_args(History)
    [metric], watched = decisions["MetricTransformations"], alarms["DegradedAlarm"]["Properties"]
    assert (metric["MetricNamespace"], metric["MetricName"]) == (
        watched["Namespace"], watched["MetricName"])


def test_logs_are_kept_for_log_days(template):
    groups = of_type(template, "AWS::Logs::LogGroup")
    assert all(group["Properties"]["RetentionInDays"] == {"Ref": "LogDays"}
               for group in groups.values())
    assert function(template)["LoggingConfig"]["LogGroup"] == {"Ref": "FunctionLogs"}


# Permissions of a deployment.

def test_only_one_environment_of_one_repository_may_deploy(bootstrap):
    [trust] = bootstrap["Resources"]["DeployRole"]["Properties"]["AssumeRolePolicyDocument"][
        "Statement"]
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert trust["Condition"] == {"StringEquals": {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        "token.actions.githubusercontent.com:sub": {
            "Fn::Sub": "repo:${GitHubRepository}:environment:${GitHubEnvironment}"}}}
    for name in ("GitHubRepository", "GitHubEnvironment"):
        assert "*" not in bootstrap["Parameters"][name]["AllowedPattern"].replace("]*", "")


def test_a_deployment_creates_roles_within_the_boundary_only(bootstrap):
    [policy] = bootstrap["Resources"]["CloudFormationRole"]["Properties"]["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        if {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"} & set(
                listed(statement["Action"])):
            assert statement["Condition"] == {
                "StringEquals": {"iam:PermissionsBoundary": {"Ref": "Boundary"}}}
        assert not {"iam:*", "*", "iam:DeleteRolePermissionsBoundary",
                    "iam:CreatePolicyVersion"} & set(listed(statement["Action"]))


def test_the_boundary_lets_the_function_do_what_its_role_allows(template, bootstrap):
    statements = bootstrap["Resources"]["Boundary"]["Properties"]["PolicyDocument"]["Statement"]
    unconditional = [entry["Fn::If"][1] if "Fn::If" in entry else entry for entry in statements]
    bounds = {action for statement in unconditional for action in listed(statement["Action"])}
    of_function = inline_statements(template["Resources"]["FunctionRole"])
    needed = {action for statement in of_function.values()
              for action in listed(statement["Action"])}
    assert needed < bounds
    for role in of_type(template, "AWS::IAM::Role").values():
        assert role["Properties"]["PermissionsBoundary"]["Fn::If"][0] == "HasBoundary"


SERVICES = {"ApiGatewayV2": "apigateway", "CloudWatch": "cloudwatch", "CodeDeploy": "codedeploy",
            "DynamoDB": "dynamodb", "IAM": "iam", "Lambda": "lambda", "Logs": "logs",
            "SecretsManager": "secretsmanager"}


@pytest.mark.system
def test_cloudformation_may_make_each_kind_of_resource_of_the_stack(bootstrap):
    [deployed] = translated(packaged())
    made = {SERVICES[resource["Type"].split("::")[1]]
            for resource in deployed["Resources"].values()}
    [policy] = bootstrap["Resources"]["CloudFormationRole"]["Properties"]["Policies"]
    may = {action.split(":")[0] for statement in policy["PolicyDocument"]["Statement"]
           for action in listed(statement["Action"])}
    assert made < may and {"ssm", "ecr"} < may      # to resolve keys and to read the image


def test_production_deploys_with_the_bounds_and_the_repository_of_bootstrap(bootstrap):
    configuration = tomllib.loads((SAM / "samconfig.toml").read_text())
    default, production = (configuration[name]["deploy"]["parameters"]
                           for name in ("default", "production"))
    assert production["parameter_overrides"] == "Boundary=fraud-boundary"
    name = bootstrap["Resources"]["Boundary"]["Properties"]["ManagedPolicyName"]["Fn::Sub"]
    stack = configuration["production"]["global"]["parameters"]["stack_name"]
    assert stack == bootstrap["Parameters"]["Stack"]["Default"]
    assert name.replace("${Stack}", stack) == "fraud-boundary"
    assert default["resolve_image_repos"] and "resolve_image_repos" not in production


def test_images_are_scanned_and_their_tags_never_move(bootstrap):
    repository = bootstrap["Resources"]["Repository"]["Properties"]
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    [rule] = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert rule["selection"]["countNumber"] == 30
