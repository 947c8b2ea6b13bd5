"""A hub and five spokes, three accounts in two Regions: their events, their turns in the sweep, one that is blind."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from local import stack
from local.cloud import ROOM, Cloud, Credentials
from local.server import NAMES, ORGANIZATION

HUB, DEV, LAB, OUTSIDER = NAMES
HERE, THERE = "us-east-1", "eu-west-1"
SPOKES = [(HUB, THERE), (DEV, HERE), (DEV, THERE), (LAB, HERE), (LAB, THERE)]
EXTERNAL_ID = "hub-and-spokes"
ENROLLED = {"TagSet": [{"Key": "mfa-delete", "Value": "required"}]}
WAIT_S = 60.0


def wait_for[T](look: Callable[[], T], what: str) -> T:
    """The first answer that is true."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {WAIT_S:g} s")


class Organization:
    """The hub's stack, and the roots of all accounts."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.hub = stack.deploy(cloud, OrganizationId=ORGANIZATION, SpokeExternalId=EXTERNAL_ID)

    def deploy_spokes(self) -> None:
        """One in each place; at home it only makes the role for the account's other Region."""
        places = [*SPOKES, (HUB, HERE), (OUTSIDER, HERE)]
        for account, region in places:
            self.deploy_spoke(account, region)
        wait_for(lambda: all(self.is_deployed(*place) for place in places), "the spokes' stacks")

    def client(self, service: str, account: str, region: str) -> Any:
        """As root of the account."""
        return self.cloud.client(service, self.root(account), region)

    def root(self, account: str) -> Credentials:
        """The root of an account."""
        return self.cloud.root_of(account)

    def deploy_spoke(self, account: str, region: str) -> None:
        """spoke.yaml, as a stack set rolls it out."""
        told = dict(each.split("=", 1) for each in self.hub["SpokeParameters"].split())
        cloudformation = self.client("cloudformation", account, region)
        cloudformation.create_stack(
            StackName="guardrail-spoke",
            TemplateBody=(ROOM / "spoke.yaml").read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in told.items()],
        )

    def is_deployed(self, account: str, region: str) -> bool:
        """Whether it is whole."""
        [made] = self.client("cloudformation", account, region).describe_stacks(StackName="guardrail-spoke")["Stacks"]
        assert made["StackStatus"] in {"CREATE_IN_PROGRESS", "CREATE_COMPLETE"}, made.get("StackStatusReason")
        return bool(made["StackStatus"] == "CREATE_COMPLETE")

    def bucket(self, name: str, account: str, region: str, *, protected: bool) -> str:
        """An enrolled bucket there."""
        s3 = self.client("s3", account, region)
        where = {} if region == HERE else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **where)
        self.switch(name, account, region, "Enabled" if protected else None)
        s3.put_bucket_tagging(Bucket=name, Tagging=ENROLLED)
        return name

    def switch(self, name: str, account: str, region: str, mfa_delete: str | None) -> None:
        """Versioning on, and MFA delete as wanted; as root with a code, if it is named."""
        wanted = {"Status": "Enabled"} | ({"MFADelete": mfa_delete} if mfa_delete else {})
        code = {"MFA": self.cloud.mfa()} if mfa_delete else {}
        s3 = self.client("s3", account, region)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=wanted, **code)

    def known(self, prefix: str) -> dict[str, Any]:
        """Documents of the table's state whose key begins so, by their key."""
        query = {
            "TableName": self.hub["TableName"],
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
            "ExpressionAttributeValues": {":pk": {"S": "state"}, ":sk": {"S": prefix}},
        }
        items = self.cloud.client("dynamodb").query(**query)["Items"]
        return {item["sk"]["S"]: json.loads(item["doc"]["S"]) for item in items if "doc" in item}

    def roster(self) -> set[str]:
        """Who said hello."""
        query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "spoke"}}}
        items = self.cloud.client("dynamodb").query(TableName=self.hub["TableName"], **query)["Items"]
        return {item["sk"]["S"] for item in items if "#" in item["sk"]["S"]}

    def subjects(self) -> list[str]:
        """Of all e-mails so far."""
        return [mail.subject for mail in self.cloud.mail() if mail.protocol == "email"]


@pytest.fixture(scope="module")
def places(cloud: Cloud) -> Organization:
    """A hub, an enrolled bucket in each other place, spokes there, and an hour later: every spoke has said hello."""
    organization = Organization(cloud)
    for number, (account, region) in enumerate(SPOKES):
        organization.bucket(f"bare-{number}", account, region, protected=False)
    organization.bucket("vault-hub", HUB, THERE, protected=True)
    organization.bucket("vault-dev", DEV, THERE, protected=True)
    organization.deploy_spokes()
    cloud.advance(3600)
    return organization


def test_every_spoke_is_known_by_its_hello_and_nobody_outside_the_organization(places: Organization) -> None:
    wanted = {f"{account}#{region}" for account, region in SPOKES}
    wait_for(lambda: places.roster() == wanted, "the hellos")
    # the outsider's own stack is the same; the bus did not take what it forwarded
    queue = f"{places.cloud.endpoint}/{OUTSIDER}/mfa-delete-guardrail-undelivered"
    sqs = places.client("sqs", OUTSIDER, HERE)
    [message] = sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"])["Messages"]
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert json.loads(message["Body"])["account"] == OUTSIDER


def test_the_sweep_finds_a_bucket_without_mfa_delete_in_every_spoke(places: Organization) -> None:
    for number, (account, region) in enumerate(SPOKES):
        key = f"{account}#{region}#bare-{number}#mfa-delete-missing"
        wait_for(lambda wanted=key: wanted in places.known(wanted), key)  # type: ignore[misc]
    assert not places.known(f"{HUB}#{THERE}#vault-hub#mfa-delete-missing")


def test_a_turn_off_in_another_account_or_region_is_told_with_its_name_within_seconds(places: Organization) -> None:
    places.switch("vault-hub", HUB, THERE, "Disabled")
    places.switch("vault-dev", DEV, THERE, "Disabled")
    wanted = {
        "[critical] MFA delete turned OFF: vault-hub (prod, eu-west-1)",
        "[critical] MFA delete turned OFF: vault-dev (dev, eu-west-1)",
    }
    wait_for(lambda: wanted <= set(places.subjects()), "the alerts")
    [mail] = [
        each for each in places.cloud.mail() if "turned OFF: vault-dev" in each.subject and each.protocol == "email"
    ]
    assert f"bucket vault-dev in eu-west-1, account dev ({DEV})" in mail.body
    assert f"aws s3api put-bucket-versioning --profile root_user --region {THERE} --bucket vault-dev" in mail.body


def test_a_refused_version_delete_in_a_spoke_is_told(places: Organization) -> None:
    places.switch("bare-4", LAB, THERE, "Enabled")
    s3 = places.client("s3", LAB, THERE)
    version = s3.put_object(Bucket="bare-4", Key="k", Body=b"x")["VersionId"]
    with pytest.raises(s3.exceptions.ClientError, match="Mfa Authentication"):
        s3.delete_object(Bucket="bare-4", Key="k", VersionId=version)
    prefix = f"{LAB}#{THERE}#bare-4#version-delete-denied"
    wait_for(lambda: places.known(prefix), prefix)


def test_a_spoke_whose_role_is_gone_is_blind_and_the_others_go_on(places: Organization) -> None:
    iam = places.client("iam", DEV, HERE)
    iam.delete_role_policy(RoleName="mfa-delete-guardrail-spoke", PolicyName="own")
    iam.delete_role(RoleName="mfa-delete-guardrail-spoke")
    missing = places.bucket("bare-9", LAB, HERE, protected=False)
    before = {key: doc for key, doc in places.known(f"{DEV}#{HERE}#bare-1#").items() if key.endswith("missing")}
    stack.sweep(places.cloud, places.hub)
    for region in (HERE, THERE):
        key = f"{DEV}#{region}#(guardrail)#guardrail-blind"
        [blind] = wait_for(lambda wanted=key: places.known(wanted), key).values()  # type: ignore[misc]
        assert (
            f"account {DEV}, {region}: nobody knows whether its buckets are protected"
            in blind["conditions"][0]["meaning"]
        )
    key = f"{LAB}#{HERE}#{missing}#mfa-delete-missing"
    wait_for(lambda: places.known(key), key)
    assert before.items() <= places.known(f"{DEV}#{HERE}#bare-1#").items()  # neither resolved nor found anew
    assert not places.known(f"{LAB}#{HERE}#(guardrail)#guardrail-blind")


def test_the_hub_finds_nothing_wrong_with_its_own_parts(places: Organization) -> None:
    function = places.hub["HealthFunctionName"]
    answer = places.cloud.client("lambda").invoke(FunctionName=function, Payload=b'{"health": "by hand"}')
    assert "FunctionError" not in answer
    found = places.known(f"{HUB}#{HERE}#(guardrail)#")
    troubles = [each for doc in found.values() if doc["status"] == "open" for each in doc["conditions"]]
    assert [each["problem"] for each in troubles if each["state"] == "bad"] == []
