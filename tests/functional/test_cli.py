"""The operator's command on moto: the same table, queues and functions' code as the handlers' tests."""

import json
from datetime import timedelta
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from cli import redrive
from cli.main import guardrail
from cli.stack import Stack
from handlers import bucket_change, guardrail_health, sweep, version_delete
from shared.evidence import Memory
from shared.facts import (
    GUARDRAIL,
    BucketKey,
    BucketState,
    Condition,
    GuardrailHealth,
    LastLook,
    MfaDelete,
    State,
    Trigger,
    TriggerKind,
    Versioning,
)
from shared.finding import Finding, Status
from tests.functional.conftest import Stage
from tests.functional.events import batch, event
from tests.functional.test_handlers import TICK, disabled, exempt, key, protected

FUNCTIONS = {
    "SweepFunctionName": sweep,
    "BucketChangeFunctionName": bucket_change,
    "HealthFunctionName": guardrail_health,
}


@pytest.fixture
def deployed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stack as the command sees it; functions are run in process (moto's Lambda needs Docker)."""
    queues = {name: stage.sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("OnFailureUrl", "DeleteQueueUrl")}
    outputs = {
        "TableName": "guardrail",
        "AlertTopicArn": stage.env["ALERT_TOPIC_ARN"],
        "DeadLetterUrl": stage.env["DEAD_LETTER_URL"],
        "ScriptSha256": "0" * 64,
        **queues,
        **{name: name for name in FUNCTIONS},
    }

    class Lambda:
        def invoke(self, FunctionName: str, Payload: bytes, **_: Any) -> dict[str, Any]:
            try:
                stage.invoke(FUNCTIONS[FunctionName].handler, json.loads(Payload))
            except ExceptionGroup:
                return {"FunctionError": "Unhandled"}
            return {}

    real = Stack.client
    monkeypatch.setattr(Stack, "client", lambda self, name: Lambda() if name == "lambda" else real(self, name))
    monkeypatch.setattr(
        Stack, "_description", {"Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in outputs.items()]}
    )
    monkeypatch.setattr(Stack, "physical", lambda _self, kind: [kind])
    monkeypatch.setattr(Stack, "guard", stage.guard)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(redrive, "WAIT_S", 0)
    return stage


def run(*arguments: str) -> Result:
    """The command, as a person starts it."""
    return CliRunner(mix_stderr=False).invoke(guardrail, arguments, standalone_mode=False)


def finding_id(stage: Stage, name: str = "vault") -> str:
    """The one open finding of a bucket."""
    memory = stage.guard.store.recall(key(name), now=stage.now)
    [finding] = [f for f in memory.findings if f.is_open]
    return finding.short_id


def test_an_acknowledgement_is_announced_with_who_and_why(deployed: Stage) -> None:
    protected(deployed)
    deployed.invoke(bucket_change.handler, disabled(deployed))
    deployed.messages()
    result = run("ack", finding_id(deployed), "--why", "planned, CHG-42")
    assert "acknowledged" in result.stdout
    [message] = deployed.messages()
    assert message["Subject"] == "[acknowledged] MFA delete turned OFF: vault (prod, us-east-1)"
    document = json.loads(message["Message"])
    assert document["acknowledged_by"].startswith("arn:aws:sts::123456789012:")
    assert document["why"] == "planned, CHG-42"
    deployed.later(hours=9)
    deployed.invoke(sweep.handler, TICK)
    assert deployed.subjects() == []


def test_an_acknowledgement_can_be_tried_first_and_its_mistakes_are_one_sentence(deployed: Stage) -> None:
    deployed.bucket("vault")
    deployed.invoke(sweep.handler, TICK)
    found = finding_id(deployed)
    assert "would acknowledge" in run("ack", found, "--why", "x", "--dry-run").stdout
    missed = str(run("ack", "ffffffff", "--why", "x").exception)
    assert "there is no finding ffffffff" in missed
    assert missed.endswith("; guardrail --stack guardrail --region us-east-1 status lists them")
    assert "say why" in str(run("ack", found, "--why", "  ").exception)
    run("ack", found, "--why", "x")
    assert "is acknowledged already" in str(run("ack", found, "--why", "x").exception)


def test_digits_that_two_findings_share_acknowledge_neither(deployed: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("vault", "second"):
        deployed.bucket(name)
    deployed.invoke(sweep.handler, TICK)
    monkeypatch.setattr(Finding, "short_id", "00000000")
    assert "stands for 2 findings, so none was acknowledged" in str(run("ack", "00000000", "--why", "x").exception)


def test_a_finding_of_another_account_is_acknowledged_by_its_digits_too(deployed: Stage) -> None:
    elsewhere = BucketKey(account="444455556666", region="eu-west-1", name="vault")
    trigger = Trigger(kind=TriggerKind.SWEEP, at=deployed.now, bucket=elsewhere)
    reading = BucketState(tagged=True, versioning=Versioning.ENABLED, mfa_delete=MfaDelete.NEVER_SET)
    guard = deployed.guard
    guard.settle(guard.weigh(trigger, Memory(), reading))
    [finding] = guard.store.recall(elsewhere, now=deployed.now).findings
    result = run("ack", finding.short_id, "--why", "planned")
    assert "mfa-delete-missing of vault in account 444455556666, eu-west-1" in result.stdout
    [finding] = guard.store.recall(elsewhere, now=deployed.now).findings
    assert finding.status is Status.ACKNOWLEDGED


def test_acknowledging_what_is_wrong_with_the_guardrail_forgets_nothing_of_how_it_should_be(deployed: Stage) -> None:
    own = BucketKey(account="123456789012", region="us-east-1", name=GUARDRAIL)
    trigger = Trigger(kind=TriggerKind.SWEEP, at=deployed.now, bucket=own)
    trouble = Condition(about="queue", state=State.BAD, problem="waiting", meaning="it waits", mend="redrive it")
    reading = GuardrailHealth(
        conditions=(trouble,), feeding=("trail",), policies="as-deployed", deployed_at="2026-01-01T00:00:00+00:00"
    )
    guard = deployed.guard
    guard.settle(guard.weigh(trigger, Memory(), reading))
    before = guard.store.recall(own, now=deployed.now)
    assert before.watched
    run("ack", before.findings[0].short_id, "--why", "known")
    after = guard.store.recall(own, now=deployed.now + timedelta(days=31))
    assert after.watched == before.watched


def test_an_acknowledged_removal_of_the_tag_ends_the_enrolment_with_a_message(deployed: Stage) -> None:
    protected(deployed)
    deployed.s3.delete_bucket_tagging(Bucket="vault")
    deployed.invoke(sweep.handler, TICK)
    deployed.messages()
    run("ack", finding_id(deployed), "--why", "moved to another account")
    assert deployed.subjects() == [
        "[acknowledged] Protection tag removed: vault (prod, us-east-1)",
        "[expired] No longer watched: vault (prod, us-east-1)",
    ]
    deployed.mfa_delete["vault"] = "Disabled"
    deployed.invoke(sweep.handler, TICK)
    assert deployed.subjects() == []


def test_status_says_what_every_bucket_is_worst_first_and_how_bad_it_is(deployed: Stage) -> None:
    assert run("status", "--json").return_value == 1  # it never looked at itself
    deployed.guard.notes.note_look(LastLook(at=deployed.now, canary_logged=False))
    assert run("status", "--json").return_value == 0
    deployed.listens = False
    unheard = run("status")
    assert (unheard.return_value, "nobody is told" in unheard.stdout) == (1, True)
    mend = "guardrail --stack mfa-delete-guardrail --region us-east-1 doctor says what mends it"
    assert mend in " ".join(unheard.stdout.split())
    assert mend in run("status", "--csv").stderr
    deployed.listens = True
    deployed.later(minutes=46)
    stale = run("status")
    assert (stale.return_value, "has not looked at itself since" in stale.stdout) == (1, True)
    deployed.guard.notes.note_look(LastLook(at=deployed.now, canary_logged=False))
    protected(deployed, "good")
    deployed.bucket("bad")
    deployed.bucket("excused")
    exempt(deployed, "excused", "2026-10-01", "migration")
    deployed.bucket("near", tagged=False)
    near: Any = [{"Key": "MFA-Delete", "Value": "required"}]
    deployed.s3.put_bucket_tagging(Bucket="near", Tagging={"TagSet": near})
    deployed.bucket("plain", tagged=False)
    deployed.invoke(sweep.handler, TICK)
    result = run("status", "--json")
    said = json.loads(result.stdout)
    assert result.return_value == 1
    assert said["population"] == {
        "buckets": 5, "enrolled": 3, "unprotected": 1, "suspended": 0, "unverifiable": 0, "exempt": 1, "protected": 1,
        "not_enrolled": 2,
    }  # fmt: skip
    assert list(said["buckets"]) == ["bad", "excused", "good"]
    assert said["nearly_enrolled"] == {"near": "MFA-Delete=required"}
    assert [f["control"] for f in said["buckets"]["bad"]["findings"]] == ["mfa-delete-missing"]
    shown = run("status").stdout
    assert "looks enrolled and is not: near carries MFA-Delete=required" in shown
    assert shown.index("unprotected") < shown.rindex("protected")
    deployed.denied.add(("GetBucketVersioning", "good"))
    assert run("status").return_value == 3


def test_what_status_writes_replay_takes(deployed: Stage, tmp_path: Any) -> None:
    protected(deployed)
    (tmp_path / "state.json").write_text(run("status", "--json").stdout)
    (tmp_path / "log.json").write_text(json.dumps(event("delete-object.version-denied", "vault")))
    files = ["--state", str(tmp_path / "state.json"), str(tmp_path / "log.json")]
    result = run("replay", "--offline", "--json", *files)
    assert [json.loads(line)["finding"] for line in result.stdout.splitlines()] == ["version-delete-denied"]
    assert result.return_value == 1


def test_replay_reads_live_without_a_state_and_stores_and_sends_nothing(deployed: Stage, tmp_path: Any) -> None:
    deployed.bucket("vault")
    (tmp_path / "log.json").write_text(json.dumps(event("put-bucket-versioning.role-sends-disabled", "vault")))
    deployed.calls.clear()
    result = run("replay", "--json", str(tmp_path / "log.json"))
    assert [json.loads(line)["finding"] for line in result.stdout.splitlines()] == ["mfa-delete-missing"]
    assert set(deployed.calls) == {
        "Query", "GetBucketTagging", "GetBucketVersioning", "GetBucketLifecycleConfiguration",
    }  # fmt: skip
    assert deployed.subjects() == []


def test_what_failed_is_replayed_once_and_what_is_useless_stays(deployed: Stage) -> None:
    protected(deployed)
    turn_off = disabled(deployed, at=deployed.now)
    wrapped = {"requestPayload": turn_off, "responsePayload": {"errorMessage": "ClientError: slow"}}
    denied = event("delete-object.version-denied", "vault", at=deployed.now)
    dead, failed = deployed.env["DEAD_LETTER_URL"], Stack("x").outputs["OnFailureUrl"]
    deployed.sqs.send_message(QueueUrl=failed, MessageBody=json.dumps(wrapped))
    deployed.sqs.send_message(QueueUrl=dead, MessageBody=json.dumps(denied))
    deployed.sqs.send_message(QueueUrl=dead, MessageBody='{"sweep": "scheduled"}')
    deployed.guard.dead_letters.put({"detail": None}, "detail is not a CloudTrail record")

    tried = run("redrive", "--dry-run", "--json")
    rows = [json.loads(line) for line in tried.stdout.splitlines()]
    assert [row["done"] for row in rows].count("waiting") == 3
    assert {row["why"] for row in rows} >= {"ClientError: slow", "detail is not a CloudTrail record"}
    assert deployed.subjects() == []

    result = run("redrive")
    assert result.stdout.splitlines()[-1] == "1 rejected, 3 sent"
    assert result.return_value == 1
    assert deployed.subjects() == ["[critical] MFA delete turned OFF: vault (prod, us-east-1)"]
    moved = [body for body, _ in deployed.drain(Stack("x").outputs["DeleteQueueUrl"])]
    deployed.invoke(version_delete.handler, batch(*moved))
    assert deployed.subjects() == ["[medium] Version delete refused: vault (prod, us-east-1)"]
    assert deployed.drain(failed) == []
    deployed.sqs.send_message(QueueUrl=failed, MessageBody=json.dumps(wrapped))
    run("redrive")
    assert deployed.subjects() == []  # an event counts once
    deployed.guard.dead_letters.put("no json", "the message is not JSON")
    assert "dropped" in run("redrive", "--drop-rejected").stdout
    assert deployed.drain(dead) == []


def test_redrive_gives_the_guardrails_own_events_back_to_the_function_that_takes_them(deployed: Stage) -> None:
    touched = event("disable-rule.our-rule", "vault", at=deployed.now)
    for each in (touched, {"health": "scheduled"}):
        deployed.sqs.send_message(QueueUrl=Stack("x").outputs["OnFailureUrl"], MessageBody=json.dumps(each))
    rows = [json.loads(line) for line in run("redrive", "--dry-run", "--json").stdout.splitlines()]
    assert [(row["done"], row["to"]) for row in rows] == [("waiting", "HealthFunction")] * 2


def test_without_a_stack_status_still_judges_and_the_others_say_what_to_do(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(Stack, "_description", {})  # moto's CloudFormation wants more than is installed; see tests/e2e
    stage.bucket("vault")
    result = run("--region", "us-east-1", "status", "--json")
    assert not result.exception, result.exception
    said = json.loads(result.stdout)
    assert (said["guardrail"]["stack"], said["buckets"]["vault"]["verdict"]) == (None, "unprotected")
    for arguments in (["redrive"], ["spokes"], ["ack", "0123abcd", "--why", "x"]):
        assert "there is no stack mfa-delete-guardrail" in str(run("--region", "us-east-1", *arguments).exception)


@pytest.mark.parametrize("status", ["REVIEW_IN_PROGRESS", "CREATE_IN_PROGRESS", "ROLLBACK_COMPLETE"])
def test_a_stack_that_was_never_deployed_whole_counts_as_none_and_its_status_is_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(Stack, "_description", {"StackStatus": status})
    words = f"the stack mfa-delete-guardrail was never deployed whole: it is in {status}"
    for arguments in (["redrive"], ["report", "--json"]):
        assert words in str(run("--region", "us-east-1", *arguments).exception)
    said = [json.loads(line) for line in run("--region", "us-east-1", "doctor", "--json").stdout.splitlines()]
    [about] = [each for each in said if each["about"] == "stack"]
    assert about["meaning"].startswith(words)
    assert "describe-stack-events" in about["mend"]
    assert json.loads(run("--region", "us-east-1", "status", "--json").stdout)["guardrail"]["stack"] is None


@pytest.mark.parametrize(("states", "code"), [("fine bad unknown", 3), ("unknown", 3), ("bad fine", 1), ("fine", 0)])
def test_what_could_not_be_told_decides_doctors_exit_code_as_it_does_that_of_status(
    deployed: Stage, monkeypatch: pytest.MonkeyPatch, states: str, code: int
) -> None:
    found = [Condition(about="x", state=State(each), meaning="m") for each in states.split()]
    monkeypatch.setattr("cli.doctor.conditions", lambda _stack: found)
    assert run("doctor").return_value == code
