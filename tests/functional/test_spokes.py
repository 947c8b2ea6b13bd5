"""A hub and its spokes: other accounts and Regions are read by their own role, and told of by their own names.

moto hands out a role's credentials whoever asks, so that a refused AssumeRole is made here; all else is moto's own.
"""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from handlers import bucket_change, sweep, version_delete
from shared import render
from shared.aws import calling
from shared.aws import spokes as adapter
from shared.aws.buckets import RootUser
from shared.facts import GUARDRAIL, BucketKey, Spoke
from shared.finding import Alert, Status
from shared.guardrail import Guardrail
from shared.settings import from_env
from tests.functional.conftest import ACCOUNT, TAG, Stage
from tests.functional.events import batch, event

DEV, LAB = "444455556666", "777788889999"
PLACES = ((DEV, "eu-west-1"), (DEV, "us-east-1"), (LAB, "us-east-1"), (ACCOUNT, "eu-west-1"))
ROLE, EXTERNAL_ID = "guardrail-spoke", "hub-and-spokes"


class Hub:
    """A stage whose stack has spokes, and the accounts that they are in."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stage, self.refused, self.assumed = stage, set[str](), list[dict[str, Any]]()
        self.made: list[tuple[str, str, str]] = []
        self.depth = 0
        self.queue = boto3.client("sqs").create_queue(QueueName="spokes")["QueueUrl"]
        monkeypatch.setattr(adapter, "_made", self._watched(adapter._made))
        told = {"SPOKE_ROLE_NAME": ROLE, "SPOKE_EXTERNAL_ID": EXTERNAL_ID, "SPOKE_QUEUE_URL": self.queue}
        iam = stage.guard.root()
        stage.guard = Guardrail(from_env(stage.env | told), lambda: stage.now)
        stage.watch(stage.guard)
        at_home = stage.guard.root

        def root(place: BucketKey | None = None) -> RootUser:
            return iam if place is None or place.account == ACCOUNT else at_home(place)

        stage.guard.root = root  # type: ignore[method-assign]
        assert stage.guard.spokes
        self.spokes = stage.guard.spokes
        assumed = self.spokes._assumed

        def refuse(account: str) -> Any:
            self.assumed.append({"account": account})
            if account in self.refused:
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, "AssumeRole")
            return assumed(account)

        self.spokes._assumed = refuse  # type: ignore[method-assign]

    def _watched(self, make: Any) -> Any:
        """Clients as the adapter makes them, with what moto lacks: MFADelete, account names, queues by name."""

        def made(service: str, region: str, key: Any) -> Any:
            self.made.append((service, region, key.id))
            if service == "account":
                return SimpleNamespace(get_account_information=lambda: {"AccountName": "dev"})
            client = make(service, region, key)
            if service == "sqs":
                return SimpleNamespace(meta=client.meta, get_queue_attributes=self._attributes)
            client.meta.events.register("before-parameter-build.*.*", self.stage._before)
            client.meta.events.register("after-call.s3.GetBucketVersioning", self.stage._complete)
            return client

        return made

    def _attributes(self, **_: Any) -> dict[str, Any]:
        return {"Attributes": {"ApproximateNumberOfMessages": str(self.depth)}}

    def bucket(self, name: str, account: str, region: str, *, mfa_delete: str | None = None) -> str:
        """An enrolled bucket there."""
        owner = f"arn:aws:iam::{account}:role/owner"
        key = boto3.client("sts").assume_role(RoleArn=owner, RoleSessionName="owner")["Credentials"]
        s3 = boto3.client(
            "s3", region_name=region, aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"], aws_session_token=key["SessionToken"],
        )  # fmt: skip
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **where)  # type: ignore[arg-type]
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [TAG]})
        if mfa_delete:
            self.stage.mfa_delete[name] = mfa_delete
        return name

    def hello(self, account: str, region: str) -> dict[str, Any]:
        """A spoke says hello: the event of its schedule, as it arrives on the hub's bus."""
        said = {"source": "aws.events", "detail-type": "Scheduled Event", "account": account, "region": region}
        return self.stage.invoke(sweep.handler, batch({**said, "detail": {}}))

    def sweep(self) -> list[dict[str, Any]]:
        """A whole sweep: home's, then the turns that it gave. Returns what each turn answered."""
        self.stage.invoke(sweep.handler, {"sweep": "scheduled"})
        return [self.stage.invoke(sweep.handler, batch(body)) for body in self.turns()]

    def sweep_in_one_batch(self) -> dict[str, Any]:
        """The same, with all turns in one batch."""
        self.stage.invoke(sweep.handler, {"sweep": "scheduled"})
        return self.stage.invoke(sweep.handler, batch(*self.turns()))

    def turns(self) -> list[str]:
        """The messages that wait in the spoke queue."""
        return [body for body, _ in self.stage.drain(self.queue)]

    def findings(self, name: str, account: str, region: str) -> dict[str, Status]:
        """Status by control of what is known of a bucket there."""
        key = BucketKey(account=account, region=region, name=name)
        found = self.stage.guard.store.recall(key, now=self.stage.now).findings
        return {finding.control: finding.status for finding in found}


@pytest.fixture
def hub(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that knows no spoke yet."""
    return Hub(stage, monkeypatch)


def turned_off(name: str, account: str, region: str, **changes: Any) -> dict[str, Any]:
    """Root's turn-off there, as its spoke forwards it."""
    text = json.dumps(event("put-bucket-versioning.root-disables", name)).replace(ACCOUNT, account)
    found: dict[str, Any] = json.loads(text)
    found["region"] = region
    found["detail"] |= {"awsRegion": region, **changes}
    return found


# ---- events --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("account", "region"), PLACES)
def test_a_turn_off_in_a_spoke_is_told_with_its_account_and_region(hub: Hub, account: str, region: str) -> None:
    hub.bucket("vault", account, region, mfa_delete="Enabled")
    hub.hello(account, region)
    hub.sweep()
    hub.stage.subjects()
    hub.stage.mfa_delete["vault"] = "Disabled"
    hub.stage.invoke(bucket_change.handler, turned_off("vault", account, region))
    label = "prod" if account == ACCOUNT else "dev"
    [message] = hub.stage.messages()
    assert message["Subject"] == f"[critical] MFA delete turned OFF: vault ({label}, {region})"
    told = json.loads(message["Message"])
    assert (told["account"], told["region"], told["account_name"]) == (account, region, label)
    assert f"--region {region} --bucket vault" in told["runbook"]


@pytest.mark.parametrize("account", [ACCOUNT, DEV])
def test_a_mail_names_a_command_that_looks_at_home_for_a_bucket_at_home_only(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, account: str
) -> None:
    mails: list[str] = []
    alert = render.alert

    def kept(*told: Any) -> Alert:
        mails.append(alert(*told).text)
        return alert(*told)

    monkeypatch.setattr(render, "alert", kept)
    hub.bucket("vault", account, "us-east-1", mfa_delete="Enabled")
    hub.hello(account, "us-east-1")
    hub.sweep()
    hub.stage.mfa_delete["vault"] = "Disabled"
    hub.stage.invoke(bucket_change.handler, turned_off("vault", account, "us-east-1"))
    assert f"account {'prod' if account == ACCOUNT else 'dev'} (" in mails[-1]
    assert (f"{hub.stage.guard.settings.command} contain vault" in mails[-1]) == (account == ACCOUNT)


def test_an_account_without_a_known_name_goes_by_its_number(hub: Hub) -> None:
    hub.bucket("vault", DEV, "eu-west-1", mfa_delete="Disabled")
    hub.stage.invoke(bucket_change.handler, turned_off("vault", DEV, "eu-west-1"))
    assert hub.stage.subjects() == [f"[critical] MFA delete turned OFF: vault ({DEV}, eu-west-1)"]


def test_a_version_delete_in_a_spoke_reads_the_bucket_there(hub: Hub) -> None:
    hub.bucket("vault", DEV, "eu-west-1", mfa_delete="Enabled")
    denied = json.loads(json.dumps(event("delete-object.version-denied", "vault")).replace(ACCOUNT, DEV))
    denied["detail"]["awsRegion"] = denied["region"] = "eu-west-1"
    hub.stage.invoke(version_delete.handler, batch(denied))
    assert hub.findings("vault", DEV, "eu-west-1") == {"version-delete-denied": Status.OPEN}
    assert {(service, region) for service, region, _ in hub.made} == {("s3", "eu-west-1")}


def test_a_record_of_another_account_than_the_envelope_says_goes_to_the_dead_letters(hub: Hub) -> None:
    hub.bucket("vault", DEV, "eu-west-1", mfa_delete="Disabled")
    forged = turned_off("vault", DEV, "eu-west-1") | {"account": LAB}
    hub.stage.invoke(bucket_change.handler, forged)
    [(body, attributes)] = hub.stage.drain(hub.stage.env["DEAD_LETTER_URL"])
    assert json.loads(body) == forged
    assert LAB in attributes["reason"]
    assert DEV in attributes["reason"]
    assert (hub.stage.subjects(), hub.assumed) == ([], [])


def test_the_callers_copy_of_an_event_about_another_accounts_bucket_is_not_followed(hub: Hub) -> None:
    # else anybody in the organization could have us look wherever a record of theirs points
    hub.bucket("vault", DEV, "eu-west-1", mfa_delete="Disabled")
    owner = [{"type": "AWS::S3::Bucket", "accountId": DEV, "ARN": "arn:aws:s3:::vault"}]
    copy = turned_off("vault", LAB, "eu-west-1", resources=owner)
    hub.stage.invoke(bucket_change.handler, copy)
    assert (hub.stage.subjects(), hub.assumed) == ([], [])


def test_a_refused_role_makes_a_bucket_unverifiable_and_never_missing(hub: Hub) -> None:
    hub.bucket("vault", DEV, "eu-west-1", mfa_delete="Enabled")
    hub.hello(DEV, "eu-west-1")
    hub.refused.add(DEV)
    hub.spokes._keys.clear()
    changed = turned_off("vault", DEV, "eu-west-1")
    changed["detail"]["userIdentity"]["type"] = "AssumedRole"
    hub.stage.invoke(bucket_change.handler, changed)
    assert hub.findings("vault", DEV, "eu-west-1") == {"state-unverifiable": Status.OPEN}
    assert "needs sts:AssumeRole" in hub.stage.messages()[-1]["Message"]


# ---- credentials ---------------------------------------------------------------------------------------------------


def test_credentials_are_asked_for_once_per_account_until_they_are_about_to_expire(hub: Hub) -> None:
    hub.stage.now = datetime.now(UTC)
    for region in ("eu-west-1", "us-east-1"):
        hub.spokes.client("s3", DEV, region)
    hub.spokes.client("s3", DEV, "eu-west-1")
    assert (len(hub.assumed), len(hub.made)) == (1, 2)
    hub.stage.now += timedelta(minutes=56)
    hub.spokes.client("s3", DEV, "eu-west-1")
    assert (len(hub.assumed), len(hub.made)) == (2, 3)


def test_the_role_is_asked_for_with_the_external_id(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    sts = boto3.client("sts")
    sts.meta.events.register("provide-client-params.sts.AssumeRole", lambda params, **_: asked.append(params))
    monkeypatch.setattr(calling, "client", lambda _service: sts)
    hub.spokes.client("sts", DEV, "eu-west-1")
    role = f"arn:aws:iam::{DEV}:role/{ROLE}"
    assert asked == [{"RoleArn": role, "RoleSessionName": "guardrail", "ExternalId": EXTERNAL_ID}]


def test_a_key_is_never_shown(hub: Hub) -> None:
    key = hub.spokes._key(DEV)
    assert key.secret not in repr(key)
    assert key.token not in repr(key)


def test_without_spokes_nothing_of_them_is_imported() -> None:
    imports = "import sys; from handlers import bucket_change, sweep, version_delete"
    code = f"{imports}; print('shared.aws.spokes' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2] / "src", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


# ---- the sweep -----------------------------------------------------------------------------------------------------


def test_a_sweep_finds_what_is_missing_in_every_spoke(hub: Hub) -> None:
    for number, (account, region) in enumerate(PLACES):
        hub.bucket(f"vault-{number}", account, region)
        hub.hello(account, region)
    hub.stage.messages()
    for number, (account, region) in enumerate(PLACES):
        assert hub.findings(f"vault-{number}", account, region)["mfa-delete-missing"] is Status.OPEN
    assert len(hub.turns()) == 0  # a first hello is swept at once, and needs no turn
    assert all(answer["batchItemFailures"] == [] for answer in hub.sweep())


def test_each_spoke_gets_one_turn_and_of_each_account_one_leads(hub: Hub) -> None:
    for account, region in (*PLACES, (ACCOUNT, "us-east-1")):
        hub.hello(account, region)
    hub.stage.invoke(sweep.handler, {"sweep": "scheduled"})
    turns = [json.loads(body)["spoke"] for body in hub.turns()]
    assert sorted((turn["account"], turn["region"], turn["leads"]) for turn in turns) == [
        (ACCOUNT, "eu-west-1", False), (DEV, "eu-west-1", False), (DEV, "us-east-1", True), (LAB, "us-east-1", True),
    ]  # fmt: skip
    hub.stage.invoke(sweep.handler, {"sweep": "owed"})
    assert hub.turns() == []


def test_root_is_looked_at_once_per_account(hub: Hub) -> None:
    for account, region in PLACES:
        hub.hello(account, region)
    hub.sweep()
    assert "root-mfa-absent" in hub.findings("", DEV, "us-east-1")
    assert hub.findings("", DEV, "eu-west-1") == {}


def test_a_region_that_joins_later_does_not_take_root_over(hub: Hub) -> None:
    # its findings are the Region's: those of the one before would stay open for ever
    hub.hello(DEV, "us-east-1")
    hub.sweep()
    hub.hello(DEV, "ap-south-1")
    hub.sweep()
    assert "root-mfa-absent" in hub.findings("", DEV, "us-east-1")
    assert hub.findings("", DEV, "ap-south-1") == {}


def test_a_reminder_of_a_spokes_finding_bears_that_accounts_name(hub: Hub) -> None:
    hub.bucket("vault", DEV, "eu-west-1", mfa_delete="Enabled")
    hub.hello(DEV, "eu-west-1")
    hub.stage.mfa_delete["vault"] = "Disabled"
    hub.stage.invoke(bucket_change.handler, turned_off("vault", DEV, "eu-west-1"))
    hub.stage.later(hours=5)
    hub.hello(DEV, "eu-west-1")
    hub.sweep()
    hub.stage.messages()
    hub.stage.later(minutes=10)
    hub.stage.invoke(sweep.handler, {"sweep": "owed"})
    [message] = [m for m in hub.stage.messages() if "vault" in m["Subject"]]
    assert message["Subject"] == "[critical] Still: MFA delete turned OFF: vault (dev, eu-west-1)"


def test_what_a_sweep_cannot_do_in_one_spoke_is_reported_for_that_message_alone(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for account, region in PLACES:
        hub.hello(account, region)
    hub.stage.invoke(sweep.handler, {"sweep": "scheduled"})
    bodies = hub.turns()
    client = hub.spokes.client

    def slow(service: str, account: str, region: str) -> Any:
        if account == LAB:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "GetResources")
        return client(service, account, region)

    monkeypatch.setattr(hub.spokes, "client", slow)
    answer = hub.stage.invoke(sweep.handler, batch(*bodies))
    [failed] = answer["batchItemFailures"]
    number = int(failed["itemIdentifier"].removeprefix("message-"))
    assert json.loads(bodies[number])["spoke"]["account"] == LAB


def test_what_a_long_batch_found_first_is_not_told_again_after_the_schedule_sent_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for account in (DEV, LAB):
        hub.bucket(f"vault-{account}", account, "us-east-1")
        hub.spokes.roster.hear(Spoke(account=account, region="us-east-1", heard_at=hub.stage.now))
    note_name = hub.spokes.note_name

    def slow(spoke: Spoke) -> None:
        note_name(spoke)
        if spoke.account == LAB:
            hub.stage.later(minutes=3)
            hub.stage.invoke(sweep.handler, {"sweep": "owed"})

    monkeypatch.setattr(hub.spokes, "note_name", slow)
    hub.sweep_in_one_batch()
    hub.stage.later(minutes=5)
    hub.stage.invoke(sweep.handler, {"sweep": "owed"})
    told = [subject for subject in hub.stage.subjects() if "vault" in subject]
    assert sorted(told) == [
        "[high] MFA delete is not on: vault-444455556666 (dev, us-east-1)",
        "[high] MFA delete is not on: vault-777788889999 (dev, us-east-1)",
    ]


def test_with_no_time_left_no_further_spoke_is_begun(hub: Hub) -> None:
    turns = [json.dumps({"spoke": {"account": DEV, "region": r, "leads": False, "heard_at": hub.stage.now.isoformat()}})
             for r in ("eu-west-1", "us-east-1")]  # fmt: skip
    late = SimpleNamespace(get_remaining_time_in_millis=lambda: 100_000, aws_request_id="r")
    answer = sweep.handler(batch(*turns), late)
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["message-0", "message-1"]


@pytest.mark.parametrize(
    "body",
    [
        "no JSON",
        "[]",
        '{"spoke": {"account": "1", "region": "eu-west-1", "heard_at": "2026-01-01T00:00:00Z"}}',
        '{"spoke": {"account": "444455556666", "region": "eu-west-1"}}',
        '{"source": "evil", "detail-type": "Scheduled Event", "account": "444455556666", "region": "eu-west-1"}',
        '{"source": "aws.events", "detail-type": "Scheduled Event", "account": "x", "region": "eu-west-1"}',
    ],
)
def test_a_message_that_is_neither_goes_to_the_dead_letters(hub: Hub, body: str) -> None:
    answer = hub.stage.invoke(sweep.handler, batch(body))
    [(kept, attributes)] = hub.stage.drain(hub.stage.env["DEAD_LETTER_URL"])
    assert (kept, answer["rejected"], answer["batchItemFailures"]) == (body, [attributes["reason"]], [])


def test_a_batch_that_comes_again_brings_no_useless_message_twice(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ClientError({"Error": {"Code": "InternalError", "Message": ""}}, "Publish")

    hub.bucket("vault", DEV, "us-east-1")
    hello = {"source": "aws.events", "detail-type": "Scheduled Event", "account": DEV, "region": "us-east-1"}
    monkeypatch.setattr(hub.stage.guard.topic, "publish", refuse)
    with pytest.raises(ExceptionGroup):
        hub.stage.invoke(sweep.handler, batch("no JSON", hello))
    assert hub.stage.drain(hub.stage.env["DEAD_LETTER_URL"]) == []
    assert hub.stage.invoke(sweep.handler, batch("no JSON", hello))["batchItemFailures"] == []
    assert len(hub.stage.drain(hub.stage.env["DEAD_LETTER_URL"])) == 1


# ---- a spoke that does not answer ----------------------------------------------------------------------------------


def test_a_spoke_whose_role_is_gone_is_blind_and_the_others_go_on(hub: Hub) -> None:
    for number, (account, region) in enumerate(PLACES):
        hub.bucket(f"vault-{number}", account, region, mfa_delete="Enabled")
        hub.hello(account, region)
    hub.sweep()
    hub.stage.messages()
    hub.refused.add(DEV)
    hub.spokes._keys.clear()
    hub.stage.mfa_delete["vault-2"] = "Disabled"
    hub.sweep()
    assert sorted(hub.stage.subjects()) == [
        "[critical] MFA delete turned OFF: vault-2 (dev, us-east-1)",
        "[high] The guardrail is blind: guardrail (dev, eu-west-1)",
        "[high] The guardrail is blind: guardrail (dev, us-east-1)",
    ]
    # what was known of its buckets stays: nobody may say missing of what nobody could read
    assert hub.findings("vault-0", DEV, "eu-west-1") == {}
    hub.refused.clear()
    hub.sweep()
    assert hub.findings(GUARDRAIL, DEV, "eu-west-1") == {"guardrail-blind": Status.RESOLVED}


def test_a_spoke_that_says_hello_no_more_is_blind(hub: Hub) -> None:
    hub.hello(DEV, "eu-west-1")
    hub.hello(LAB, "us-east-1")
    hub.stage.messages()
    hub.stage.later(hours=4)
    hub.hello(LAB, "us-east-1")
    hub.sweep()
    [message] = [m for m in hub.stage.messages() if "blind" in m["Subject"]]
    assert message["Subject"] == "[critical] The guardrail is blind: guardrail (dev, eu-west-1)"
    told = json.loads(message["Message"])
    assert told["title"].startswith(f"The spoke of the guardrail guardrail in eu-west-1, account dev ({DEV}) is blind")
    [condition] = told["conditions"]
    assert "has not said hello since 2026-09-25 09:15 UTC" in condition["meaning"]
    assert "guardrail --stack guardrail --region us-east-1 doctor" in told["runbook"]
    hub.stage.later(minutes=5)
    hub.hello(DEV, "eu-west-1")
    hub.sweep()
    assert hub.findings(GUARDRAIL, DEV, "eu-west-1") == {"guardrail-blind": Status.RESOLVED}


def test_a_turn_that_waited_for_hours_does_not_make_a_spoke_silent(hub: Hub) -> None:
    hub.hello(DEV, "eu-west-1")
    hub.stage.invoke(sweep.handler, {"sweep": "scheduled"})
    hub.stage.later(hours=5)
    hub.hello(DEV, "eu-west-1")
    hub.stage.invoke(sweep.handler, batch(*hub.turns()))
    assert hub.findings(GUARDRAIL, DEV, "eu-west-1") == {}


def test_an_event_is_as_good_as_a_hello(hub: Hub) -> None:
    hub.bucket("vault", DEV, "eu-west-1", mfa_delete="Enabled")
    hub.stage.invoke(bucket_change.handler, turned_off("vault", DEV, "eu-west-1"))
    [spoke] = hub.spokes.roster.spokes(hub.stage.now)
    assert (spoke.account, spoke.region, spoke.heard_at) == (DEV, "eu-west-1", hub.stage.now)


def test_events_that_the_bus_did_not_take_are_told(hub: Hub) -> None:
    hub.hello(DEV, "eu-west-1")
    hub.depth = 3
    hub.sweep()
    [message] = [m for m in hub.stage.messages() if "blind" in m["Subject"]]
    assert "3 of its events were not taken" in message["Message"]


def test_a_spoke_is_forgotten_thirty_days_after_its_last_hello(hub: Hub) -> None:
    hub.hello(DEV, "eu-west-1")
    hub.stage.later(days=29)
    assert len(hub.spokes.roster.spokes(hub.stage.now)) == 1
    hub.stage.later(days=2)
    assert hub.spokes.roster.spokes(hub.stage.now) == []
