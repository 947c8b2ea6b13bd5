"""Who is told of what, and that each channel gets what it takes. The texts under golden/ are read by a person."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import channels, render, render_bus, render_chat, render_hub, render_pager
from shared.evidence import Memory
from shared.facts import BucketKey, Condition, ObjectVersion, Principal, State
from shared.finding import NEWS, Change, Channel, Finding, Severity, Status, Told, Transition
from tests.unit.test_render import CASES, HOSTILE, TOLD, golden

SCHEMAS = Path(__file__).parents[2] / "docs" / "schema"
NOW = datetime(2026, 9, 25, 9, 14, 3, tzinfo=UTC)
ALL = replace(
    TOLD,
    pager_topic_arn="arn:aws:sns:us-east-1:111122223333:pager",
    chat_topic_arn="arn:aws:sns:us-east-1:111122223333:chat",
    event_bus_name="guardrail-bus",
    security_hub=True,
)
EVERY_CHANNEL = set(Channel)
OFF = CASES["mfa-delete-disabled"].finding
DEED = CASES["version-deleted"].finding


def schema(name: str) -> dict[str, Any]:
    """One of docs/schema/."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return found


def told_to(finding: Finding, change: Change, *, paged: bool = False, page_from: str = "critical") -> set[Channel]:
    """The channels that hear of a change of a finding that was told of."""
    memory = Memory(findings=(replace(finding, paged=paged),))
    transition = Transition(finding=replace(finding, told_at=NOW), change=change)
    [addressed] = channels.addressed([transition], memory, replace(ALL, page_from=page_from))
    return set(addressed.to)


@pytest.mark.parametrize("change", sorted(NEWS))
def test_what_is_critical_goes_down_every_channel(change: Change) -> None:
    assert told_to(replace(OFF, severity=Severity.CRITICAL), change) == EVERY_CHANNEL


@pytest.mark.parametrize("severity", [Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.INFO])
def test_what_is_not_critical_pages_nobody(severity: Severity) -> None:
    assert told_to(replace(OFF, severity=severity), Change.OPENED) == EVERY_CHANNEL - {Channel.PAGER}


def test_who_wants_it_is_paged_for_less() -> None:
    assert Channel.PAGER in told_to(replace(OFF, severity=Severity.HIGH), Change.OPENED, page_from="high")
    assert Channel.PAGER not in told_to(replace(OFF, severity=Severity.MEDIUM), Change.OPENED, page_from="high")


@pytest.mark.parametrize(
    "change", [Change.RESOLVED, Change.EXEMPTED, Change.SUPERSEDED, Change.BUCKET_DELETED, Change.EXPIRED]
)
def test_whatever_closes_a_finding_closes_its_incident_and_no_other(change: Change) -> None:
    closed = replace(OFF, severity=Severity.HIGH)  # it was critical when it was paged
    assert Channel.PAGER in told_to(closed, change, paged=True)
    assert Channel.PAGER not in told_to(closed, change, paged=False)


def test_an_acknowledgement_closes_the_incident_of_a_deed_and_leaves_that_of_a_state_open() -> None:
    assert Channel.PAGER in told_to(DEED, Change.ACKNOWLEDGED, paged=True)
    assert Channel.PAGER not in told_to(OFF, Change.ACKNOWLEDGED, paged=True)


@pytest.mark.parametrize("change", [Change.ENRICHED, Change.REMINDED])
def test_counting_on_and_reminding_is_no_incident_and_no_event(change: Change) -> None:
    assert not told_to(OFF, change, paged=True) & {Channel.PAGER, Channel.BUS, Channel.SECURITY_HUB}


def test_what_is_not_told_to_people_is_told_to_programs() -> None:
    transition = Transition(finding=replace(OFF, told_at=None), change=Change.OPENED)
    [addressed] = channels.addressed([transition], Memory(), ALL)
    assert addressed.to == (Channel.BUS, Channel.SECURITY_HUB)


def test_a_channel_that_is_not_set_up_is_owed_nothing() -> None:
    transition = Transition(finding=replace(OFF, told_at=NOW), change=Change.OPENED)
    [addressed] = channels.addressed([transition], Memory(), TOLD)
    assert addressed.to == (Channel.MAIL,)


def test_a_finding_remembers_its_incident_until_it_closes() -> None:
    def after(finding: Finding, change: Change, *, before: Finding | None = None) -> Finding:
        memory = Memory(findings=(before,) if before else ())
        [addressed] = channels.addressed([Transition(finding=finding, change=change)], memory, ALL)
        return addressed.finding

    told = replace(OFF, told_at=NOW)
    opened = after(told, Change.OPENED)
    # judged anew, a finding knows nothing of its incident
    less = after(replace(told, severity=Severity.HIGH), Change.REOPENED, before=opened)
    assert (opened.paged, less.paged) == (True, True)
    assert not after(replace(less, status=Status.RESOLVED), Change.RESOLVED, before=less).paged


# ---- the pager ------------------------------------------------------------------------------------------------------


def page(told: Told) -> tuple[str, dict[str, Any]]:
    """Subject and parsed message."""
    subject, message = render_pager.page(told, ALL)
    return subject, json.loads(message)


@pytest.mark.parametrize("name", CASES)
def test_a_page_has_the_shape_of_an_alarm(name: str) -> None:
    subject, message = page(CASES[name])
    jsonschema.validate(message, schema("pager"))
    assert subject.startswith(f"{message['NewStateValue']}: ")
    assert len(subject) <= 99


def test_a_page_in_words() -> None:
    subject, message = page(CASES["mfa-delete-disabled"])
    golden("pager", f"{subject}\n{json.dumps(message, indent=1)}\n")


def test_two_findings_are_two_incidents_and_one_closes_itself_only() -> None:
    other = replace(OFF, bucket=replace(OFF.bucket, name="another-bucket"))
    names = {page(Told(finding=f, change=Change.OPENED))[1]["AlarmName"] for f in (OFF, other)}
    assert len(names) == 2
    _, opened = page(Told(finding=OFF, change=Change.OPENED))
    _, closed = page(Told(finding=replace(OFF, status=Status.RESOLVED), change=Change.RESOLVED))
    assert opened["AlarmName"] == closed["AlarmName"] == f"mfa-delete-disabled-{OFF.short_id}"
    assert (opened["NewStateValue"], closed["NewStateValue"]) == ("ALARM", "OK")


def test_the_description_says_bucket_who_and_whom_to_call() -> None:
    _, message = page(CASES["mfa-delete-disabled"])
    for words in (OFF.bucket.name, "Who:", "arn:aws:iam::111122223333:root", "call Ada Example, +1 555 0100"):
        assert words in message["AlarmDescription"]


# ---- chat -----------------------------------------------------------------------------------------------------------


def chat(told: Told) -> dict[str, Any]:
    """The parsed message."""
    found: dict[str, Any] = json.loads(render_chat.message(told, render.alert(told, ALL), ALL, home=ALL))
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_chat_message_is_exactly_what_the_schema_takes(name: str) -> None:
    jsonschema.validate(chat(CASES[name]), schema("chat"))


def test_a_chat_message_in_words() -> None:
    golden("chat", json.dumps(chat(CASES["mfa-delete-disabled"]), indent=1) + "\n")


def test_a_finding_stays_in_its_thread() -> None:
    threads = {chat(Told(finding=OFF, change=c))["metadata"]["threadId"] for c in (Change.OPENED, Change.RESOLVED)}
    assert threads == {OFF.short_id}


def test_a_digest_in_chat_says_where_the_rest_is() -> None:
    names = [replace(OFF, bucket=replace(OFF.bucket, name=f"bucket-{n}")) for n in range(100)]
    [alert] = render.digests([Told(finding=f, change=Change.OPENED) for f in names], ALL, NOW)
    message = json.loads(render_chat.digest(alert, NOW))
    jsonschema.validate(message, schema("chat"))
    assert message["content"]["description"].endswith("(more in the mail)")


def test_nothing_that_others_chose_is_a_link_a_mention_or_a_format_in_chat() -> None:
    evil = "<!channel> <https://x.example|click> [click](https://x.example) `x` *x* @here"
    finding = replace(
        DEED,
        principal=Principal(kind="IAMUser", id=evil, session=evil),
        user_agent=evil,
        objects=(ObjectVersion(key=evil, version_id=evil),),
    )
    content = chat(Told(finding=finding, change=Change.OPENED))["content"]
    assert not set("<>[]`*@") & set(content["description"] + content["title"])
    assert "://" not in content["description"]  # Slack makes a link of a bare address


def test_no_message_names_a_command_that_knows_nothing_of_another_accounts_bucket() -> None:
    # `guardrail runbook` looks at the hub's own account and Region
    away = replace(OFF, bucket=replace(OFF.bucket, account="444455556666"))
    told, dev = Told(finding=away, change=Change.OPENED), ALL.of_account("444455556666", "dev")
    message = json.loads(render_chat.message(told, render.alert(told, dev), dev, home=ALL))
    assert "The runbook: it is in the mail" in message["content"]["nextSteps"]
    remedy = render_hub.asff(told, dev, ALL)["Remediation"]
    assert "guardrail runbook" not in json.dumps(remedy) + json.dumps(message)
    at_home = json.loads(
        render_chat.message(Told(finding=OFF, change=Change.OPENED), render.alert(told, ALL), ALL, home=ALL)
    )
    assert f"runbook {OFF.bucket.name}" in at_home["content"]["nextSteps"][0]


# ---- the bus and Security Hub ---------------------------------------------------------------------------------------


def event(told: Told) -> dict[str, Any]:
    """The parsed detail."""
    found: dict[str, Any] = json.loads(str(render_bus.entry(told, ALL)["Detail"]))
    return found


CHANGED = [
    *CASES.values(),
    *(Told(finding=OFF, change=change) for change in (Change.SUPERSEDED, Change.BUCKET_DELETED)),
    Told(finding=replace(DEED, count=40), change=Change.SUMMED),
]


@pytest.mark.parametrize("told", CHANGED, ids=lambda told: f"{told.finding.control}.{told.change}")
def test_an_event_and_a_finding_of_security_hub_fit_their_schemas(told: Told) -> None:
    jsonschema.validate(event(told), schema("event"))
    jsonschema.validate(render_hub.asff(told, ALL, ALL), schema("asff"))


def test_an_event_says_what_the_alert_says() -> None:
    ours = schema("event")["oneOf"][0]["properties"]
    theirs = json.loads((SCHEMAS.parent / "alert.schema.json").read_text(encoding="utf-8"))["oneOf"][0]["properties"]
    same = ours.keys() - {"schema", "change", "stack"}
    assert same == theirs.keys() - {"schema", "change", "runbook"}
    assert all(ours[name] == theirs[name] for name in same)
    assert set(theirs["change"]["enum"]) <= set(ours["change"]["enum"])


def test_a_drill_is_marked_on_the_bus() -> None:
    entry = render_bus.drill(ALL, NOW)
    jsonschema.validate(json.loads(str(entry["Detail"])), schema("event"))
    assert entry["DetailType"] == "Drill"


def hub(finding: Finding, change: Change) -> dict[str, Any]:
    """The finding as it is sent after this change."""
    return dict(render_hub.asff(Told(finding=finding, change=change), ALL, ALL))


def test_security_hub_keeps_one_finding_whatever_becomes_of_it() -> None:
    assert len({hub(OFF, change)["Id"] for change in Change}) == 1
    assert hub(OFF, Change.OPENED)["Id"] != hub(DEED, Change.OPENED)["Id"]


def test_what_is_resolved_is_archived() -> None:
    states = {change: hub(OFF, change)["RecordState"] for change in (Change.OPENED, Change.RESOLVED)}
    assert states == {Change.OPENED: "ACTIVE", Change.RESOLVED: "ARCHIVED"}


def test_an_exception_is_suppressed_with_its_reason_and_never_passed() -> None:
    told = CASES["exempted"]
    sent = dict(render_hub.asff(told, ALL, ALL))
    assert (sent["Workflow"], sent["RecordState"]) == ({"Status": "SUPPRESSED"}, "ACTIVE")
    assert sent["Compliance"] == {
        "Status": "FAILED",
        "RelatedRequirements": [
            "CIS AWS Foundations 2.1.2",
            "Security Hub S3.20",
            "Config s3-bucket-mfa-delete-enabled",
        ],
    }
    workflow = render_hub.workflow(told, ALL, ALL)
    assert workflow is not None
    assert "because" in str(workflow["Note"])


def test_what_cannot_be_read_has_not_passed_and_not_failed() -> None:
    assert hub(CASES["state-unverifiable"].finding, Change.OPENED)["Compliance"]["Status"] == "NOT_AVAILABLE"


# ---- whatever others choose -----------------------------------------------------------------------------------------

names = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=3, max_size=63)
anything = st.text(max_size=3000) | st.just(HOSTILE)


@settings(deadline=None)
@given(names, anything, anything, st.sampled_from(sorted(CASES)))
def test_every_channel_takes_whatever_others_chose(bucket: str, chosen: str, contact: str, case: str) -> None:
    told = CASES[case]
    finding = replace(
        told.finding,
        bucket=BucketKey(account="111122223333", region="ap-southeast-2", name=bucket),
        principal=Principal(kind="IAMUser", id=chosen, session=chosen),
        user_agent=chosen,
        source_ip=chosen,
        error_message=chosen,
        why=chosen,
        acknowledged_by=chosen,
        objects=(ObjectVersion(key=chosen, version_id=chosen),) * 10,
        conditions=(Condition(about="trail", state=State.BAD, problem="x", meaning=chosen, mend=chosen),),
    )
    told = replace(told, finding=finding)
    stack = replace(ALL, root_contact=contact[:200], account_name=contact[:50])
    subject, message = render_pager.page(told, stack)
    assert len(subject) <= 99
    assert subject.isascii()
    assert subject.isprintable()
    jsonschema.validate(json.loads(message), schema("pager"))
    jsonschema.validate(
        json.loads(render_chat.message(told, render.alert(told, stack), stack, home=stack)), schema("chat")
    )
    jsonschema.validate(dict(render_hub.asff(told, stack, stack)), schema("asff"))
    detail = str(render_bus.entry(told, stack)["Detail"])
    jsonschema.validate(json.loads(detail), schema("event"))
    assert len(detail.encode()) < 256_000 - 1_000
