"""Items of the table by their schema: older ones are read as ever, newer ones are left, named, and hold up nothing."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest

from cli import doctor
from handlers import bucket_change, guardrail_health, sweep, version_delete
from shared.aws.history import History
from shared.aws.items import SCHEMA, Unread
from shared.facts import GUARDRAIL, Drill, GuardrailHealth, LastLook
from tests.e2e.released import RELEASED, left_by
from tests.functional.conftest import ACCOUNT, Stage
from tests.functional.events import batch, event
from tests.functional.reports import at, reported, stood
from tests.functional.test_channels import channels, evidence_of_debt
from tests.functional.test_cli import deployed, finding_id, run
from tests.functional.test_handlers import TICK, disabled, key, protected
from tests.functional.test_spokes import DEV, Hub, hub

__all__ = ["channels", "deployed", "hub"]

OWED = {"sweep": "owed"}
OWN = f"{ACCOUNT}#us-east-1#vault#"

type Item = dict[str, Any]
type Spoil = Callable[[Item], Item]


def items(pk: str) -> list[Item]:
    """What stands in the table under a key, as DynamoDB has it."""
    return [item for item in boto3.client("dynamodb").scan(TableName="guardrail")["Items"] if item["pk"]["S"] == pk]


def one(pk: str, sk: str) -> Item:
    """The item whose sort key begins so."""
    [found] = [item for item in items(pk) if item["sk"]["S"].startswith(sk)]
    return found


def put(item: Item) -> Item:
    """As another version would."""
    boto3.client("dynamodb").put_item(TableName="guardrail", Item=item)
    return item


def newer(item: Item) -> Item:
    """As a version writes it that raised the schema: nobody here knows what it says."""
    return {**item, "schema": {"N": str(SCHEMA + 1)}, "doc": {"S": '{"of": "a later version"}'}}


def doc(**values: Any) -> Spoil:
    """With other values in its document."""
    return lambda item: {**item, "doc": {"S": json.dumps(json.loads(item["doc"]["S"]) | values)}}


def without(name: str) -> Spoil:
    """Without one of its attributes."""
    return lambda item: {each: value for each, value in item.items() if each != name}


SPOILT: dict[str, Spoil] = {
    "a newer schema": newer,
    "another severity": doc(severity="catastrophic"),
    "another status": doc(status="snoozed"),
    "another cause": doc(cause="of-a-later-version"),
    "a missing time": doc(at=None, bucket=None),
    "no document": without("doc"),
    "no JSON": lambda item: {**item, "doc": {"S": "[" * 100_000}},
}
OF_OWED = SPOILT | {
    "another change": lambda item: {**item, "change": {"S": "snoozed"}},
    "another channel": lambda item: {**item, "to": {"S": "mail carrier-pigeon"}},
    "no time": without("since"),
}
OF_FINDINGS = SPOILT | {"another control": doc(control="of-a-later-version")}


def turned_off(stage: Stage, *names: str) -> None:
    """Buckets with a critical finding each, told."""
    for name in names:
        protected(stage, name)
        stage.invoke(bucket_change.handler, disabled(stage, name, event_id=name))
    stage.messages()


def test_what_is_remembered_owed_and_kept_carries_its_schema(channels: Stage) -> None:
    protected(channels)
    evidence_of_debt(channels)
    for pk in ("state", "owed", "history"):
        assert {item["schema"]["N"] for item in items(pk)} == {str(SCHEMA)}, pk
    assert items("state")[1:]


@pytest.mark.parametrize("spoil", [without("rev"), lambda item: {**item, "rev": {"S": "three"}}])
def test_a_bucket_whose_own_item_has_no_number_is_judged_on_and_the_item_set_aside(stage: Stage, spoil: Spoil) -> None:
    protected(stage)
    spoilt = put(spoil(one("state", OWN)))
    stage.invoke(bucket_change.handler, disabled(stage))
    assert stage.subjects() == ["[critical] MFA delete turned OFF: vault (prod, us-east-1)"]
    [aside] = items("unread")
    assert aside["doc"] == spoilt["doc"]
    stage.later(hours=1)
    stage.invoke(sweep.handler, TICK)


def test_items_of_before_there_was_a_schema_are_read_as_ever(channels: Stage) -> None:
    turned_off(channels, "vault")
    evidence_of_debt_on(channels, "second")
    for pk in ("state", "owed", "history"):
        for item in items(pk):
            put(without("schema")(item))
    channels.later(minutes=3)
    answer = channels.invoke(sweep.handler, TICK)
    assert (answer["transitions"], answer["sent"]) == ([], 1)
    assert channels.subjects() == ["[critical] MFA delete turned OFF: second (prod, us-east-1)"]


def evidence_of_debt_on(stage: Stage, name: str) -> None:
    """A turn-off that nobody was told of."""
    protected(stage, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.guard, "tell", _die)
        with pytest.raises(KeyboardInterrupt):
            stage.invoke(bucket_change.handler, disabled(stage, name, event_id=name))


def _die(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("version", RELEASED)
def test_every_item_that_an_earlier_version_really_wrote_can_be_read(hub: Hub, version: str) -> None:
    left = left_by(version, hub.stage.now)
    for item in left.items:
        item["sk"]["S"] = item["sk"]["S"].replace("111122223333", ACCOUNT)  # moto's account
        put(item)
    store = hub.stage.guard.store
    memories = store.recall_all(ACCOUNT, "us-east-1", now=hub.stage.now)
    own = memories[key(GUARDRAIL)]
    assert [memory.unread for memory in memories.values() if memory.unread] == []
    assert len(memories) - 1 == len(left.buckets) + 1  # one of them is gone
    assert sum(len(memory.findings) for memory in memories.values()) == sum("rev" not in i for i in items("state"))
    assert (own.rev, own.watched is not None) == (1, True)
    owed, unread = store.owed_and_unread()
    assert (len(owed), unread) == (len(items("owed")), [])
    past = list(History("guardrail", store).read(ACCOUNT, "us-east-1", until=hub.stage.now))
    assert [each for each in past if each.unread] == []
    assert len(past) == len(items("history"))
    assert None not in (hub.stage.guard.notes.look(), hub.stage.guard.notes.drill())
    assert [each.heard_at for each in hub.spokes.roster.spokes(hub.stage.now)] == [hub.stage.now]
    assert (store.topic().confirmed, len(store.topic().pace.messages)) == (True, 1)


def test_what_a_newer_version_of_this_schema_added_is_left_out(stage: Stage) -> None:
    turned_off(stage, "vault")
    for item in items("state"):
        put(doc(added="later")(item) | {"added": {"S": "later"}})
    principal = json.loads(one("state", f"{OWN}mfa")["doc"]["S"])["principal"]
    put(doc(principal=principal | {"added": "later"})(one("state", f"{OWN}mfa")))
    assert stage.invoke(sweep.handler, TICK)["transitions"] == []
    memory = stage.guard.store.recall(key("vault"), now=stage.now)
    assert (len(memory.findings), memory.unread) == (1, ())


@pytest.mark.parametrize("spoil", OF_OWED.values(), ids=OF_OWED)
def test_what_is_owed_and_cannot_be_read_stays_owed_is_named_and_holds_up_no_other(
    channels: Stage, spoil: Spoil
) -> None:
    for name in ("a-vault", "b-vault", "c-vault"):
        evidence_of_debt_on(channels, name)
    spoilt = put(spoil(one("owed", f"{ACCOUNT}#us-east-1#b-vault#")))
    channels.later(minutes=3)
    with pytest.raises(ExceptionGroup) as caught:
        channels.invoke(sweep.handler, OWED)
    [error] = caught.value.exceptions
    assert isinstance(error, Unread)
    assert str(error).startswith(f"owed {spoilt['sk']['S']} ")
    told = [subject.removesuffix(" (prod, us-east-1)")[-7:] for subject in channels.subjects()]
    assert sorted(told) == ["a-vault", "c-vault"]
    assert items("owed") == [spoilt]
    with pytest.raises(ExceptionGroup):  # it is named until it is gone, also where nothing else is owed
        channels.invoke(sweep.handler, OWED)


def test_a_retried_event_pays_its_own_beside_what_cannot_be_read(channels: Stage) -> None:
    evidence_of_debt_on(channels, "vault")
    item = one("owed", OWN)
    put(newer(item) | {"sk": {"S": f"{item['sk']['S']}-later"}})
    channels.later(minutes=1)
    channels.invoke(bucket_change.handler, disabled(channels, "vault", event_id="vault"))
    assert len(channels.subjects()) == 1


@pytest.mark.parametrize("spoil", OF_FINDINGS.values(), ids=OF_FINDINGS)
def test_a_finding_that_cannot_be_read_is_left_as_it_is_and_holds_up_neither_its_bucket_nor_others(
    stage: Stage, spoil: Spoil
) -> None:
    turned_off(stage, "vault", "second")
    spoilt = put(spoil(one("state", f"{OWN}mfa")))
    assert stage.invoke(sweep.handler, TICK)["transitions"] == ["opened mfa-delete-missing vault"]
    stage.later(minutes=5)
    stage.invoke(version_delete.handler, batch(event("delete-object.version-denied", "vault", at=stage.now)))
    stage.mfa_delete["second"] = "Enabled"
    stage.invoke(sweep.handler, TICK)
    assert [subject.split(" (")[0] for subject in stage.subjects()] == [
        "[high] MFA delete is not on: vault",
        "[medium] Version delete refused: vault",
        "[resolved] MFA delete is on again: second",
    ]
    assert (one("state", f"{OWN}mfa-delete-disabled"), items("unread")) == (spoilt, [])
    assert stage.guard.store.recall(key("vault"), now=stage.now).unread == (spoilt["sk"]["S"],)


def test_a_finding_that_cannot_be_read_and_is_over_is_nobody_s_business(stage: Stage) -> None:
    turned_off(stage, "vault")
    put(newer(one("state", f"{OWN}mfa")) | {"expires_at": {"N": str(int(stage.now.timestamp()) - 1)}})
    assert stage.guard.store.recall(key("vault"), now=stage.now).unread == ()


def _own() -> Item:
    [found] = [item for item in items("state") if item["sk"]["S"] == OWN]
    return found


@pytest.mark.parametrize("name", ["doc", "schema"])
def test_a_bucket_whose_last_verdict_cannot_be_read_is_still_watched(stage: Stage, name: str) -> None:
    protected(stage)
    stage.s3.put_bucket_tagging(Bucket="vault", Tagging={"TagSet": []})  # once judged, it stays judged
    spoilt = put(newer(_own()) if name == "schema" else doc(verdict="blessed")(_own()))
    stage.invoke(bucket_change.handler, disabled(stage))
    assert "[critical] MFA delete turned OFF: vault (prod, us-east-1)" in stage.subjects()
    [aside] = items("unread")
    assert aside["sk"]["S"] == f"{OWN}#{stage.now.isoformat()}"
    keep = {"expires_at": {"N": str(int((stage.now + timedelta(days=400)).timestamp()))}}
    assert aside == spoilt | {name: aside[name] for name in ("pk", "sk")} | keep
    again = stage.guard.store.recall(key("vault"), now=stage.now)
    assert (again.unread, again.rev, again.last is None) == ((), int(spoilt["rev"]["N"]) + 1, False)
    stage.invoke(sweep.handler, TICK)
    assert items("unread") == [aside]


def test_the_end_of_a_bucket_whose_last_verdict_cannot_be_read_is_told_once(stage: Stage) -> None:
    protected(stage)
    put(newer(_own()))
    stage.s3.delete_bucket(Bucket="vault")
    for _ in range(2):
        stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[critical] Bucket is gone: vault (prod, us-east-1)"]


@pytest.mark.parametrize("ending", ["deleted", "let go"])
def test_a_bucket_that_is_to_be_forgotten_and_cannot_be_read_is_not_told_of_again(stage: Stage, ending: str) -> None:
    protected(stage)
    if ending == "deleted":
        stage.s3.delete_bucket(Bucket="vault")
    else:
        stage.s3.delete_bucket_tagging(Bucket="vault")
        stage.invoke(sweep.handler, TICK)
        stage.later(days=31)
    stage.invoke(sweep.handler, TICK)
    stage.messages()
    for item in items("state"):
        put(newer(item))
    assert stage.invoke(sweep.handler, TICK)["transitions"] == []
    assert items("unread") == []


def test_a_finding_that_is_written_over_is_set_aside_as_it_stood(stage: Stage) -> None:
    turned_off(stage, "vault")
    stage.mfa_delete["vault"] = "Enabled"
    stage.invoke(sweep.handler, TICK)
    stage.messages()
    spoilt = put(newer(one("state", f"{OWN}mfa")))  # closed, by a newer version
    stage.later(minutes=1)
    stage.invoke(bucket_change.handler, disabled(stage, event_id="again", at=stage.now))
    assert stage.subjects() == ["[critical] MFA delete turned OFF: vault (prod, us-east-1)"]
    [aside] = items("unread")
    assert aside["doc"] == spoilt["doc"]
    assert stage.guard.store.recall(key("vault"), now=stage.now).unread == ()


def test_two_groups_of_one_batch_set_it_aside_once(stage: Stage) -> None:
    protected(stage)
    spoilt = put(newer(_own()))
    refused = event("delete-object.version-denied", "vault", at=stage.now)
    done = event("delete-object.version-deleted-by-user", "vault", at=stage.now)
    stage.invoke(version_delete.handler, batch(refused, done))
    assert [aside["doc"] for aside in items("unread")] == [spoilt["doc"]]
    assert len(stage.subjects()) == 2


def test_status_names_it_calls_the_bucket_not_fine_and_could_not_tell_and_the_report_agrees(
    deployed: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "LOOKS", (doctor._table,))
    deployed.guard.notes.note_look(LastLook(at=deployed.now, canary_logged=False))
    turned_off(deployed, "vault")
    deployed.mfa_delete["vault"] = "Enabled"
    deployed.invoke(sweep.handler, TICK)
    assert (run("status").return_value, reported()[0].return_value) == (0, 0)
    spoilt = put(newer(one("state", f"{OWN}mfa")))
    result = run("status", "--json")
    said = json.loads(result.stdout)
    assert (result.return_value, said["unread"]) == (3, [spoilt["sk"]["S"]])
    assert said["buckets"]["vault"]["why"] == "1 item(s) of the table cannot be read by this version"
    shown = " ".join(run("status").stdout.split())
    assert "cannot be read by this version: mfa-delete-disabled of vault" in shown
    assert "cannot be read by this version" in run("status", "--csv").stderr
    result, said = reported()
    assert (result.return_value, said["not_read"]) == (3, [spoilt["sk"]["S"]])
    assert reported("--at", "0h")[0].return_value == 3
    assert [each["state"] for each in said["guardrail"]["conditions"] if each["about"] == "table"] == ["bad"]


def test_root_that_may_not_be_looked_at_ends_the_report_as_it_ends_status(
    deployed: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "LOOKS", ())
    deployed.guard.notes.note_look(LastLook(at=deployed.now, canary_logged=False))
    protected(deployed)
    deployed.denied.add(("GetAccountSummary", ""))
    result, said = reported()
    assert (run("status").return_value, result.return_value) == (3, 3)
    assert said["not_read"] == ["root: iam:GetAccountSummary"]
    assert reported("--at", "0h")[1]["not_read"] == []


def test_the_look_at_itself_tells_of_it_and_of_its_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.aws.health.read", lambda *_: GuardrailHealth(conditions=()))
    turned_off(stage, "vault")
    item = one("state", f"{OWN}mfa")
    put(newer(item))
    stage.invoke(guardrail_health.handler, {"health": "scheduled"})
    [message] = stage.messages()
    assert message["Subject"].startswith("[high] ")
    document = json.loads(message["Message"])
    assert document["control"] == "guardrail-blind"
    assert "mfa-delete-disabled of vault: written by a newer version, or damaged" in json.dumps(document)
    put(item)
    stage.later(minutes=15)
    stage.invoke(guardrail_health.handler, {"health": "scheduled"})
    assert [subject.split("]")[0] for subject in stage.subjects()] == ["[resolved"]


def test_what_a_newer_version_knew_of_the_guardrail_itself_stops_no_look(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = GuardrailHealth(conditions=(), policies="digest", deployed_at=stage.now.isoformat())
    monkeypatch.setattr("shared.aws.health.read", lambda *_: reading)
    stage.invoke(guardrail_health.handler, {"health": "scheduled"})
    put(newer(one("state", f"{ACCOUNT}#us-east-1#(guardrail)#")))
    stage.later(minutes=15)
    stage.invoke(guardrail_health.handler, {"health": "scheduled"})
    assert "the last verdict of (guardrail)" in stage.messages()[0]["Message"]
    assert len(items("unread")) == 1
    stage.later(minutes=15)
    stage.invoke(guardrail_health.handler, {"health": "scheduled"})
    assert [subject.split("]")[0] for subject in stage.subjects()] == ["[resolved"]


def test_the_doctor_says_whether_all_can_be_read(deployed: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOOKS", (doctor._table,))
    turned_off(deployed, "vault")
    assert run("doctor").return_value == 0
    put(newer(one("state", f"{OWN}mfa")))
    assert run("doctor").return_value == 1


def test_a_finding_of_a_bucket_that_a_newer_version_knows_is_not_acknowledged(deployed: Stage) -> None:
    turned_off(deployed, "vault")
    spoilt = put(newer(_own()))
    assert "newer version" in str(run("ack", finding_id(deployed), "--why", "x").exception)
    assert _own() == spoilt


def test_history_that_cannot_be_read_is_a_hole_and_the_report_could_not_tell(
    deployed: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "LOOKS", ())
    protected(deployed)
    deployed.later(hours=1)
    off = deployed.now
    deployed.invoke(bucket_change.handler, disabled(deployed, at=off))
    deployed.later(hours=1)
    deployed.mfa_delete["vault"] = "Enabled"
    deployed.invoke(sweep.handler, TICK)
    deployed.later(hours=1)
    assert stood(deployed) == ["not observed", "protected", "unprotected", "protected"]
    put(newer(one("history", f"{OWN}{off.isoformat()}")))
    assert stood(deployed) == ["not observed", "protected", "not observed", "protected"]
    assert at(deployed, off) == "not observed"
    result, said = reported()
    assert (result.return_value, said["guardrail"]["conditions"][0]["about"]) == (3, "history")


@pytest.mark.parametrize("name", ["health", "drill"])
def test_a_note_that_cannot_be_read_counts_as_none_and_is_written_anew(stage: Stage, name: str) -> None:
    notes = stage.guard.notes
    for spoil in (without("at"), lambda item: {**item, "schema": {"N": str(SCHEMA + 1)}}):
        notes.note_look(LastLook(at=stage.now, canary_logged=True))
        notes.note_drill(Drill(at=stage.now, change_id="a", delete_id="b"))
        assert None not in (notes.look(), notes.drill())
        put(spoil(one("guardrail", name)))
        assert (notes.look() is None, notes.drill() is None) == (name == "health", name == "drill")


def test_a_drill_with_more_to_it_is_read_all_the_same(stage: Stage) -> None:
    drill = Drill(at=stage.now, change_id="a", delete_id="b")
    stage.guard.notes.note_drill(drill)
    put({**one("guardrail", "drill"), "added": {"N": "1"}})
    assert stage.guard.notes.drill() == drill


def test_a_spoke_whose_item_cannot_be_read_has_its_turn_and_costs_no_other_its_own(hub: Hub) -> None:
    for account, region in ((DEV, "us-east-1"), (DEV, "eu-west-1")):
        hub.hello(account, region)
        hub.bucket(f"of-{region}", account, region)
    put(without("heard_at")(one("spoke", f"{DEV}#us-east-1")) | {"expires_at": {"S": "never"}})
    hub.sweep()
    told = hub.stage.subjects()
    for region in ("us-east-1", "eu-west-1"):
        assert any(f"of-{region}" in subject for subject in told), told
    assert [subject for subject in told if subject.startswith("[critical]")]  # nobody knows when it last said hello


def test_what_cannot_be_read_of_a_spoke_is_told_as_the_spoke_s(hub: Hub) -> None:
    hub.hello(DEV, "us-east-1")
    hub.bucket("their-vault", DEV, "us-east-1")
    hub.sweep()
    hub.stage.messages()
    put(newer(one("state", f"{DEV}#us-east-1#their-vault#mfa")))
    hub.sweep()
    assert any("mfa-delete-missing of their-vault" in each["Message"] for each in hub.stage.messages())
