"""What a person is asked, told, and kept from getting wrong."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Template = dict[str, Any]

ASKED = {
    *("AlertEmail", "AlertUrl", "ProtectTagKey", "ProtectTagValue", "SweepRate", "Trail", "TrailBuckets"),
    *("WatchVersionDeletes", "AccountName", "RootContact", "SecurityContact", "PermissionsBoundary"),
    *("LogRetentionDays", "DeleteBatchingWindow", "ExemptionMaxDays"),
    *("HistoryDays", "RootKeyGraceMinutes", "GroupWindowMinutes", "GroupThreshold"),
    *("SilenceEmail", "HeartbeatUrl", "DeployPrincipals", "Drill"),
    *("PagerUrl", "PageFrom", "Chat", "SecurityHub"),
    *("OrganizationId", "SpokeExternalId", "SpokeRoleName"),
}
ROLE, USER = "arn:aws:iam::111122223333:role/deploy/Pipe+line=1", "arn:aws-cn:iam::111122223333:user/ann@example.com"

ACCEPTED = [
    ("AlertEmail", "s3+alerts.team@mail.example.co.uk"),
    ("AlertUrl", "https://events.pagerduty.com/integration/0123abcd/enqueue"),
    ("AlertUrl", "https://hooks.example.com:8443/x?y=z&a=b#c"),
    ("ProtectTagKey", "team:backup/mfa-delete"),
    ("ProtectTagValue", "yes"),
    ("TrailBuckets", "logs-1.example.com"),
    ("AccountName", "prod (EU) #1"),
    ("RootContact", "Ann Root, +44 20 7946 0000, ann@example.com"),
    ("PermissionsBoundary", "arn:aws-us-gov:iam::111122223333:policy/team/edge"),
    ("PermissionsBoundary", "arn:aws:iam::aws:policy/PowerUserAccess"),
    ("SilenceEmail", "eve.backup@example.org"),
    ("SilenceEmail", ""),
    ("HeartbeatUrl", "https://hc-ping.example.com/12345678-1234-4123-8123-123456789012"),
    ("HeartbeatUrl", "https://beat.example.com:8443/x?key=a%20b"),
    ("HeartbeatUrl", ""),
    ("DeployPrincipals", ""),
    ("DeployPrincipals", ROLE),
    ("DeployPrincipals", f"{ROLE},{USER}"),
    ("DeployPrincipals", f"{ROLE}, {USER}, arn:aws:iam::111122223333:root"),
    ("Drill", "yes"),
    ("Drill", "no"),
    ("OrganizationId", ""),
    ("OrganizationId", "o-a1b2c3d4e5"),
    ("SpokeExternalId", ""),
    ("SpokeExternalId", "7f0d8e1c-hub"),
    ("SpokeRoleName", "Guardrail+Spoke@1"),
]
REFUSED = [
    ("AlertEmail", "ann"),
    ("AlertEmail", "ann@example.com,bob@example.com"),
    ("AlertEmail", "ann@example.com\nbcc@example.com"),
    ("AlertUrl", "http://example.com/"),
    ("AlertUrl", "https://user:secret@example.com/"),  # pragma: allowlist secret - made up
    ("AlertUrl", "https://example.com/ x"),
    ("ProtectTagKey", ""),
    ("ProtectTagKey", "aws:x"),
    ("ProtectTagKey", "mfa delete"),
    ("ProtectTagValue", ""),
    ("TrailBuckets", "arn:aws:s3:::logs"),
    ("TrailBuckets", "Logs"),
    ("TrailBuckets", "lo"),
    ("AccountName", "prod\nBcc: x"),
    ("AccountName", "prod\x1b[31m"),
    ("AccountName", "pröd"),
    ("RootContact", "call\tme"),
    ("RootContact", "x" * 201),
    ("SecurityContact", "x\x7f"),
    ("AccountName", "x" * 51),
    ("PermissionsBoundary", "edge"),
    ("PermissionsBoundary", "arn:aws:iam::111122223333:role/edge"),
    ("SilenceEmail", "eve@example.org,ann@example.com"),
    ("SilenceEmail", "eve"),
    ("SilenceEmail", "eve@example.org\n"),
    ("HeartbeatUrl", "http://beat.example.com/"),
    ("HeartbeatUrl", "https://user:secret@beat.example.com/"),  # pragma: allowlist secret - made up
    ("HeartbeatUrl", "https://beat.example.com/a b"),
    ("HeartbeatUrl", "https://beat.example.com/\nx"),
    ("DeployPrincipals", "Deploy"),
    ("DeployPrincipals", "*"),
    ("DeployPrincipals", "arn:aws:iam::111122223333:role/*"),
    ("DeployPrincipals", "arn:aws:iam::111122223333:role/"),
    ("DeployPrincipals", "arn:aws:iam::1111:role/Deploy"),
    ("DeployPrincipals", "arn:aws:sts::111122223333:assumed-role/Deploy/ann"),
    ("DeployPrincipals", "arn:aws:iam::111122223333:policy/Deploy"),
    ("DeployPrincipals", f"{ROLE}  {USER}"),
    ("DeployPrincipals", f"{ROLE};{USER}"),
    ("DeployPrincipals", f"{ROLE},  {USER}"),
    ("DeployPrincipals", f"{ROLE},{USER},"),
    ("DeployPrincipals", f"{ROLE},{USER},Deploy"),
    ("DeployPrincipals", f"{ROLE},Deploy"),
    ("DeployPrincipals", f"{ROLE},"),
    ("Drill", "Yes"),
    ("Drill", ""),
    ("OrganizationId", "*"),
    ("OrganizationId", "o-short"),
    ("OrganizationId", "111122223333"),
    ("SpokeExternalId", "short"),
    ("SpokeExternalId", "with blanks in it"),
    ("SpokeRoleName", ""),
    ("SpokeRoleName", "*"),
    ("SpokeRoleName", "path/role"),
]


@pytest.fixture(scope="session")
def parameters(template: Template) -> dict[str, Template]:
    """The parameters as written."""
    entries: dict[str, Template] = template["Parameters"]
    return entries


def accepts(parameter: Template, value: str) -> bool:
    """Whether CloudFormation takes the value (its patterns have to match the whole of it)."""
    if "AllowedValues" in parameter:
        return value in map(str, parameter["AllowedValues"])
    if "MinValue" in parameter:
        return int(parameter["MinValue"]) <= int(value) <= int(parameter["MaxValue"])
    fits = int(parameter.get("MinLength", 0)) <= len(value) <= int(parameter.get("MaxLength", 4096))
    return fits and re.fullmatch(parameter["AllowedPattern"], value) is not None


def test_the_parameters_are_those_of_the_specification(parameters: dict[str, Template]) -> None:
    assert parameters.keys() == ASKED


def test_every_parameter_says_what_it_is_and_what_is_allowed(parameters: dict[str, Template]) -> None:
    for name, parameter in parameters.items():
        assert 40 <= len(parameter["Description"]) <= 4000, name
        assert parameter["ConstraintDescription"], name
        assert {"AllowedPattern", "AllowedValues", "MinValue"} & parameter.keys(), name
        assert "Default" in parameter, f"{name} would have to be given by everybody"


def test_what_is_new_is_off_or_empty_unless_it_is_asked_for(parameters: dict[str, Template]) -> None:
    defaults = {name: parameters[name]["Default"] for name in ("SilenceEmail", "HeartbeatUrl", "DeployPrincipals")}
    assert set(defaults.values()) == {""}
    assert parameters["Drill"]["Default"] == "no"


def test_the_addresses_that_are_secrets_are_kept_from_view(parameters: dict[str, Template]) -> None:
    # whoever knows it can send the heartbeat in our stead, or page with the integration's key
    kept = {name for name, parameter in parameters.items() if parameter.get("NoEcho")}
    assert kept == {"HeartbeatUrl", "PagerUrl", "AlertUrl"}


def test_no_output_shows_an_address_that_is_a_secret(
    parameters: dict[str, Template], outputs: Callable[..., dict[str, str]]
) -> None:
    # CloudFormation strikes out the parameter, not an output that holds its value
    secrets = {
        name: f"https://example.com/{name}-secret" for name, parameter in parameters.items() if parameter.get("NoEcho")
    }
    assert "-secret" not in str(outputs(**secrets))


def test_the_address_of_the_heartbeat_is_given_to_the_health_function_and_nothing_else(template: Template) -> None:
    told = [name for name, entry in template["Resources"].items() if "HeartbeatUrl" in str(entry)]
    assert told == ["HealthFunction"]
    assert "HeartbeatUrl" not in str(template["Outputs"]) + str(template["Globals"])


def test_every_default_is_allowed(parameters: dict[str, Template]) -> None:
    for name, parameter in parameters.items():
        assert accepts(parameter, str(parameter["Default"])), name


def test_a_text_that_ends_up_in_alerts_has_a_bounded_length(parameters: dict[str, Template]) -> None:
    for name, parameter in parameters.items():
        if parameter["Type"] == "String" and "AllowedValues" not in parameter:
            assert "MaxLength" in parameter, name


@pytest.mark.parametrize(("name", "value"), ACCEPTED)
def test_a_good_value_is_accepted(parameters: dict[str, Template], name: str, value: str) -> None:
    assert accepts(parameters[name], value)


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_a_bad_value_is_refused(parameters: dict[str, Template], name: str, value: str) -> None:
    assert not accepts(parameters[name], value)


@pytest.mark.parametrize(
    "name",
    [
        *("AlertEmail", "AlertUrl", "SweepRate", "Trail", "WatchVersionDeletes", "LogRetentionDays", "Drill"),
        *("PagerUrl", "SecurityHub"),
    ],
)
def test_what_costs_money_says_how_much(parameters: dict[str, Template], name: str) -> None:
    description = parameters[name]["Description"]
    assert re.search(r"\$[0-9]", description) or "costs nothing" in description or "Cents a year" in description


def test_every_parameter_stands_in_exactly_one_group(template: Template) -> None:
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = {group["Label"]["default"]: group["Parameters"] for group in groups}
    assert sorted(name for names in grouped.values() for name in names) == sorted(ASKED)
    assert grouped["Who is told"] == [
        *("AlertEmail", "AlertUrl", "PagerUrl", "PageFrom", "Chat", "SecurityHub", "SilenceEmail", "HeartbeatUrl"),
    ]
    assert {"DeployPrincipals", "Drill"} <= set(grouped["Operation"])


def test_the_version_is_that_of_the_project(root: Path, outputs: Callable[..., dict[str, str]]) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert outputs()["Version"] == project["version"]


def test_the_stack_gives_what_the_drill_and_the_look_at_itself_need(outputs: Callable[..., dict[str, str]]) -> None:
    with_drill, without = outputs(Drill="yes"), outputs()
    assert with_drill.keys() - without.keys() == {"CanaryBucketName", "DrillFunctionName"}
    assert without["HealthNow"] == (
        """echo '{"health":"by hand"}' | aws lambda invoke --region eu-west-1 --function-name HealthFunction """
        "--payload fileb:///dev/stdin /dev/stdout"
    )
    assert (without["SilenceTopicArn"], without["HealthFunctionName"]) == ("SilenceTopic", "HealthFunction")


# ---- outputs -------------------------------------------------------------------------------------------------------


def test_the_stack_says_how_to_run_the_sweep_now(outputs: Callable[..., dict[str, str]]) -> None:
    assert outputs()["SweepNow"] == (
        """echo '{"sweep":"by hand"}' | aws lambda invoke --cli-read-timeout 900 """
        "--region eu-west-1 --function-name SweepFunction --payload fileb:///dev/stdin /dev/stdout"
    )


def test_the_stack_says_which_subscription_is_still_to_be_confirmed(outputs: Callable[..., dict[str, str]]) -> None:
    nobody = outputs()["SubscriptionToConfirm"]
    assert "Nobody is subscribed" in nobody
    assert "aws sns subscribe --region eu-west-1 --topic-arn AlertTopic" in nobody
    both = outputs(AlertEmail="ann@example.com", AlertUrl="https://example.com/x")["SubscriptionToConfirm"]
    assert "ann@example.com" in both
    assert "AlertUrl" in both
    assert "Nobody" not in both


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"Trail": "none"}, "if a trail of yours logs management write events"),
        ({"Trail": "none"}, "only where a trail of yours logs S3 data events"),
        ({"Trail": "deletes"}, "if a trail of yours logs management write events"),
        ({"Trail": "deletes"}, "on every bucket, by this stack's trail"),
        ({"Trail": "all"}, "within minutes of a change, by this stack's trail"),
        ({"Trail": "all", "TrailBuckets": "one,two"}, "on one two, by this stack's trail"),
        ({"Trail": "all", "WatchVersionDeletes": "no"}, "not watched, by choice"),
    ],
)
def test_the_stack_says_which_findings_work_with_the_chosen_trail(
    outputs: Callable[..., dict[str, str]], chosen: dict[str, str], said: str
) -> None:
    assert said in outputs(**chosen)["FindingsThatWork"]


def test_what_the_stack_says_fits_into_an_output(outputs: Callable[..., dict[str, str]]) -> None:
    for trail in ("none", "deletes", "all"):
        assert all(len(value) < 1024 for value in outputs(Trail=trail).values())


def test_the_stack_gives_the_sum_of_the_script_that_root_will_run(outputs: Callable[..., dict[str, str]]) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", outputs()["ScriptSha256"])


# ---- samconfig.toml ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def samconfig(root: Path) -> Template:
    """samconfig.toml."""
    return tomllib.loads((root / "samconfig.toml").read_text())


def test_the_default_deployment_names_no_region_no_profile_and_no_address(samconfig: Template) -> None:
    settings = {key for command in samconfig["default"].values() for key in command["parameters"]}
    assert "stack_name" in settings
    assert not settings & {"region", "profile", "s3_bucket", "role_arn", "parameter_overrides", "image_repository"}
    assert "://" not in str(samconfig["default"])
    assert "@" not in str(samconfig["default"])


def test_the_local_deployment_has_no_trail_and_a_short_batching_window(
    samconfig: Template, parameters: dict[str, Template]
) -> None:
    given = samconfig["local"]["deploy"]["parameters"]["parameter_overrides"]
    overrides = dict(pair.split("=") for pair in given.split())
    assert overrides == {"Trail": "none", "DeleteBatchingWindow": "1"}
    assert all(accepts(parameters[name], value) for name, value in overrides.items())


def test_neither_deployment_asks_for_more_than_unnamed_iam(samconfig: Template) -> None:
    for environment in ("default", "local"):
        assert samconfig[environment]["deploy"]["parameters"]["capabilities"] == "CAPABILITY_IAM"
