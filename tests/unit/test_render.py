"""What people and programs are sent. The texts under golden/ are read by a person before they are changed."""

import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.main import VERBS
from shared import judgement, lifecycle, quoting, render, runbook
from shared.facts import BucketKey, ObjectVersion, Principal
from shared.finding import Change, Finding, Told
from shared.settings import Settings
from tests.unit.cases import evidence_of, rows

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "alert.schema.json").read_text(encoding="utf-8"))

TOLD = Settings(
    table_name="table",
    alert_topic_arn="arn:aws:sns:us-east-1:111122223333:alerts",
    dead_letter_url="https://sqs.us-east-1.amazonaws.com/111122223333/dead-letters",
    protect_tag_key="mfa-delete",
    protect_tag_value="required",
    watch_version_deletes=True,
    account_id="111122223333",
    partition="aws",
    account_name="prod",
    root_contact="Ada Example, +1 555 0100",
    security_contact="security@example.com",
    script_sha256="0" * 64,
    stack_name="guardrail",
    exemption_max_days=90,
    group_window_minutes=60,
    group_threshold=10,
    root_key_grace_minutes=60,
    history_days=400,
    aws_region="us-east-1",
    sweep_rate="rate(1 hour)",
    deploy_principals="",
    heartbeat_url="",
    canary_bucket="",
    version="0.1.0",
    pager_topic_arn="",
    chat_topic_arn="",
    event_bus_name="",
    security_hub=False,
    page_from="critical",
)


def finding_in(name: str) -> Finding:
    """The finding that a row of the truth table raises."""
    row = next(row for row in rows() if row["name"] == name)
    [control] = row["expect"]
    return next(f for f in judgement.judge(evidence_of(row)).holding if f.control == control)


def told_in(name: str, control: str) -> Told:
    """What a row makes of a finding of this control, as it is sent."""
    row = next(row for row in rows() if row["name"] == name)
    [change] = [t for t in lifecycle.plan(evidence_of(row)).transitions if t.finding.control == control]
    return Told(finding=change.finding, change=change.change)


CASES = {
    "mfa-delete-disabled": Told(finding=finding_in("root turns MFA delete off"), change=Change.OPENED),
    "mfa-delete-disabled.drift": Told(
        finding=finding_in("a role's Disabled wakes us, and root's own event was lost: drift, nobody is blamed"),
        change=Change.OPENED,
        versions_deleted=3,
    ),
    "mfa-delete-disabled.undone": Told(
        finding=finding_in("root turns it off and on again before we looked: told, and resolved by the next look"),
        change=Change.OPENED,
    ),
    "mfa-delete-missing": Told(
        finding=finding_in("versioning is switched on without MFA delete on a tagged bucket"),
        change=Change.OPENED,
        obstacles=runbook.lifecycle_obstacle(
            BucketKey(account="111122223333", region="us-east-1", name="example-bucket"),
            ("tidy `up`", "[x](https://y)"),
        ),
    ),
    "versioning-suspended": Told(
        finding=finding_in("versioning is suspended while MFA delete stays on"), change=Change.OPENED
    ),
    "version-delete-denied": Told(
        finding=finding_in("a version delete is refused for lack of MFA"), change=Change.OPENED
    ),
    "version-delete-denied.batch": Told(
        finding=finding_in("a whole batch is refused; which keys is not in the record"), change=Change.OPENED
    ),
    "version-deleted": Told(finding=finding_in("root deletes a version with a code"), change=Change.OPENED),
    "state-unverifiable": Told(
        finding=finding_in("we may not read a bucket that we could read before"), change=Change.OPENED
    ),
    "resolved": Told(finding=finding_in("root turns MFA delete off"), change=Change.RESOLVED),
    "bucket-deleted": Told(finding=finding_in("a bucket is deleted"), change=Change.OPENED),
    "versioning-change-denied": Told(
        finding=finding_in("a change of versioning is refused for lack of MFA"), change=Change.OPENED
    ),
    "protection-tag-removed": Told(
        finding=finding_in("the protection tag is removed through S3 Control"), change=Change.OPENED
    ),
    "exception-set": Told(finding=finding_in("an exception is lengthened"), change=Change.OPENED),
    "exception-set.removed": Told(
        finding=finding_in("an exception is removed from a protected bucket"), change=Change.OPENED
    ),
    "exception-invalid": Told(finding=finding_in("an exception whose end is no date is none"), change=Change.OPENED),
    "proof": told_in("the runbook's proof, minutes after the bucket was turned on", "version-delete-denied"),
    "exempted": told_in(
        "an exception is set on an unprotected bucket: told, and what was open ends", "mfa-delete-missing"
    ),
    "lifecycle-expires-versions": Told(
        finding=finding_in("somebody puts a rule that deletes old versions after a day"), change=Change.OPENED
    ),
    "state-unverifiable.lifecycle": Told(
        finding=finding_in("the lifecycle configuration may not be read: said, the rest is judged"),
        change=Change.OPENED,
    ),
    "root-access-key-present": Told(
        finding=finding_in("root has an access key: told after the grace period"), change=Change.OPENED
    ),
    "root-mfa-absent": Told(
        finding=finding_in("root has a passkey, or a hardware token, which is in no list"), change=Change.OPENED
    ),
    "version-deleted.grew": Told(
        finding=replace(finding_in("root deletes a version with a code"), count=1001), change=Change.GREW
    ),
    "guardrail-blind": told_in("somebody switches our rule off", "guardrail-blind"),
    "guardrail-tampered": told_in("somebody switches our rule off", "guardrail-tampered"),
    "guardrail-changed": told_in("a deployment, with nobody named who may", "guardrail-changed"),
    "guardrail-unverifiable": told_in(
        "selectors that may not be read are neither blind nor fine", "state-unverifiable"
    ),
    "acknowledged": Told(
        finding=lifecycle.acknowledge(
            finding_in("root turns MFA delete off"),
            by="arn:aws:sts::111122223333:assumed-role/operator/ada",
            why="planned, `CHG-42`",
            now=datetime(2026, 9, 25, 10, tzinfo=UTC),
        ).finding,
        change=Change.ACKNOWLEDGED,
    ),
}


def as_sent(told: Told, settings: Settings = TOLD) -> str:
    """Subject and text, without the runbook, which RUNBOOK.md and its own test cover."""
    alert = render.alert(told, settings)
    page = render.runbook_page(told, settings) if told.is_bad_news else ""
    return f"Subject: {alert.subject}\n\n{alert.text.replace(page, '[runbook]') if page else alert.text}\n"


def golden(name: str, text: str) -> None:
    """Compare with the kept text; UPDATE_GOLDEN=1 writes it anew, to be read by a person."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", CASES)
def test_text(name: str) -> None:
    golden(name, as_sent(CASES[name]))


UNLOGGED = tuple(f"arn:aws:sts::111122223333:assumed-role/{name}/* (excluded by trail main)" for name in "abcd")


@pytest.mark.parametrize("name", CASES)
def test_every_answer_to_was_anything_lost_that_rests_on_what_was_seen_names_whom_no_trail_logs(name: str) -> None:
    told = CASES[name]
    before, after = (as_sent(each).splitlines() for each in (told, replace(told, unlogged=UNLOGGED[:1])))
    [*changed] = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    rests = "no permanent delete seen", "deleted for good, seen", "permanently deleted (so far"
    answers = [line for line in before if line.startswith("Was anything lost:") and any(each in line for each in rests)]
    ending = f" Deletes by 1 principal excluded from the trail's logging are not seen: {UNLOGGED[0]}."
    assert changed == [(line, line + ending) for line in answers]


def test_many_whom_no_trail_logs_are_counted_and_the_first_are_named() -> None:
    text = render.alert(replace(CASES["mfa-delete-disabled"], unlogged=UNLOGGED), TOLD).text
    named = ", ".join(UNLOGGED[:3])
    assert f"Deletes by 4 principals excluded from the trail's logging are not seen: {named} and 1 more (g" in text


def test_the_runbook_for_a_bucket_with_a_lifecycle_configuration() -> None:
    golden("runbook.turn-mfa-delete-on", render.runbook_page(CASES["mfa-delete-missing"], TOLD) + "\n")


@pytest.mark.parametrize("name", CASES)
def test_the_json_form_fits_its_schema(name: str) -> None:
    jsonschema.validate(json.loads(render.alert(CASES[name], TOLD).json), SCHEMA)


BARE = re.compile(rf"guardrail ({'|'.join(VERBS)})\b")
"""A command that looks for a stack of the default name, in the Region of whoever types it."""


@pytest.mark.parametrize("name", CASES)
def test_every_command_in_an_alert_names_stack_and_region(name: str) -> None:
    told = replace(CASES[name], unlogged=UNLOGGED)
    [digest] = render.digests([told], TOLD, told.finding.at)
    for alert in (render.alert(told, TOLD), digest):
        assert BARE.findall(alert.text + alert.json) == []


@pytest.mark.parametrize("heading", runbook.sections())
def test_every_command_in_the_runbook_names_stack_region_and_finding(heading: str) -> None:
    bucket = CASES["mfa-delete-disabled"].finding.bucket
    page = runbook.filled(heading, bucket, TOLD, runbook.NO_OBSTACLE, "1a2b3c4d")
    assert BARE.findall(page) == []
    assert page.count(f"{TOLD.command} ack ") == page.count(f'{TOLD.command} ack 1a2b3c4d --why "..."')


def test_until_root_is_there_the_command_comes_first_and_the_statement_after_it() -> None:
    lines = render.alert(CASES["mfa-delete-disabled"], TOLD).text.splitlines()
    [first] = [n for n, line in enumerate(lines) if line.startswith("Until then, without root: ")]
    name = CASES["mfa-delete-disabled"].finding.bucket.name
    assert lines[first] == f"Until then, without root: {TOLD.command} contain {name}"
    assert json.loads(lines[first + 2])["Sid"] == "DenyPermanentDeletes"


@pytest.mark.parametrize("place", [("444455556666", "us-east-1"), ("111122223333", "eu-west-1")])
def test_of_a_bucket_that_the_command_knows_nothing_of_the_statement_is_given_alone(place: tuple[str, str]) -> None:
    told = CASES["mfa-delete-disabled"]
    bucket = replace(told.finding.bucket, account=place[0], region=place[1])
    away = replace(told, finding=replace(told.finding, bucket=bucket))
    text = render.alert(away, TOLD.of_account(place[0], "dev"), TOLD).text
    assert "Until then, without root: add this statement to the bucket's policy" in text
    assert f"{TOLD.command} contain" not in text


def test_what_the_user_declined_is_said() -> None:
    text = as_sent(CASES["mfa-delete-disabled"], replace(TOLD, watch_version_deletes=False))
    assert "cannot tell; permanent deletes are not watched, by choice" in text


def test_without_contacts_and_name_the_text_says_so() -> None:
    text = as_sent(CASES["mfa-delete-disabled"], replace(TOLD, account_name="", root_contact="", security_contact=""))
    assert "no RootContact is set" in text
    assert "in us-east-1, account 111122223333." in text


@pytest.mark.parametrize(
    ("partition", "host"),
    [
        ("aws", "console.aws.amazon.com"),
        ("aws-cn", "console.amazonaws.cn"),
        ("aws-us-gov", "console.amazonaws-us-gov.com"),
    ],
)
def test_links_and_arns_follow_the_partition(partition: str, host: str) -> None:
    text = render.alert(CASES["mfa-delete-disabled"], replace(TOLD, partition=partition)).text
    assert f"https://{host}/s3/buckets/" in text
    assert f'"arn:{partition}:s3:::' in text


bucket_names = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=3, max_size=63)


@given(bucket_names, st.text(max_size=80), st.sampled_from(sorted(CASES)))
def test_a_subject_is_one_short_line_of_ascii(bucket: str, account_name: str, name: str) -> None:
    told = CASES[name]
    key = BucketKey(account="111122223333", region="ap-southeast-2", name=bucket)
    told = replace(told, finding=replace(told.finding, bucket=key))
    subject = render.alert(told, replace(TOLD, account_name=account_name)).subject
    assert len(subject) <= 99
    assert subject.isascii()
    assert subject.isprintable()
    assert subject.startswith("[")
    if len(bucket) <= 20:
        assert bucket in subject


def test_a_long_account_name_is_cut_before_the_bucket_is() -> None:
    finding = CASES["mfa-delete-disabled"].finding
    subject = render.subject("critical", "MFA delete turned OFF", finding, replace(TOLD, account_name="a" * 60))
    assert finding.bucket.name in subject
    assert ".." in subject


HOSTILE = "\r\nSubject: x\n# `rm -rf` $(id) </a> \x1b[2J \u202e| 123456"


def test_nothing_hostile_reaches_a_line_a_terminal_or_markdown() -> None:
    finding = replace(
        CASES["version-delete-denied"].finding,
        principal=Principal(kind="IAMUser", id=HOSTILE, session=HOSTILE),
        user_agent=HOSTILE,
        source_ip=HOSTILE,
        error_message=quoting.redact(HOSTILE),
        objects=(ObjectVersion(key=HOSTILE, version_id=HOSTILE),),
    )
    calm = replace(finding, objects=(ObjectVersion(key="k", version_id="v"),), user_agent="u", source_ip="1")
    text = render.alert(Told(finding=finding, change=Change.OPENED), TOLD).text
    assert text.isascii()
    assert all(char.isprintable() or char == "\n" for char in text)
    assert len(text.splitlines()) == len(render.alert(Told(finding=calm, change=Change.OPENED), TOLD).text.splitlines())
    first_screen = text.split("\n# Look into")[0]
    assert not set("`<>$|") & set(first_screen)


def test_a_digest_names_every_finding_and_splits_when_it_must() -> None:
    finding = CASES["mfa-delete-disabled"].finding
    many = [
        Told(
            finding=replace(finding, bucket=replace(finding.bucket, name=f"bucket-{n:05}-{'x' * 40}")),
            change=Change.OPENED,
        )
        for n in range(1500)
    ]
    alerts = render.digests(many, TOLD, finding.at)
    assert len(alerts) > 1
    for alert in alerts:
        message = json.dumps({"default": alert.json, "email": alert.text})  # as publish.py sends it
        assert len(message) < 250_000
        jsonschema.validate(json.loads(alert.json), SCHEMA)
    text = " ".join(alert.text for alert in alerts)
    assert all(told.finding.bucket.name in text for told in many)
    assert alerts[0].subject == f"[critical] 1500 more findings, part 1 of {len(alerts)} (prod, us-east-1)"


def test_a_digest_names_the_account_and_region_that_its_findings_are_of() -> None:
    finding = CASES["mfa-delete-missing"].finding

    def told(account: str, region: str, name: str) -> Told:
        bucket = replace(finding.bucket, account=account, region=region, name=name)
        return Told(finding=replace(finding, bucket=bucket), change=Change.REMINDED)

    def of(*all_told: Told) -> tuple[str, str]:
        [alert] = render.digests(all_told, TOLD, finding.at, lambda account: TOLD.of_account(account, "dev"))
        return alert.subject, alert.text.splitlines()[0]

    dev, same, other = (
        told("444455556666", "eu-west-1", "a"),
        told("444455556666", "eu-west-1", "b"),
        told("777788889999", "us-east-1", "c"),
    )
    assert of(dev)[0].endswith("a (dev, eu-west-1)")
    subject, text = of(dev, same)
    assert subject.endswith("(dev, eu-west-1)")
    assert "of account dev (444455556666)" in text
    subject, text = of(dev, other)
    assert subject.endswith("(2 accounts)")
    assert "of 2 accounts, as of" in text


def test_a_digest_begins_with_what_it_is_and_then_comes_its_first_line() -> None:
    finding = CASES["mfa-delete-missing"].finding
    [alert] = render.digests([Told(finding=finding, change=Change.OPENED)] * 2, TOLD, finding.at)
    first, second, _, _, third, *_ = alert.text.splitlines()
    assert first.startswith("2 more findings of account prod (111122223333), as of ")
    assert second.startswith("Too many for single messages (5 a run, 15 an hour), or never sent singly")
    assert third.startswith("[high] MFA delete is not on: ")


def test_four_hundred_findings_of_ordinary_buckets_are_one_digest() -> None:
    finding = CASES["mfa-delete-missing"].finding
    names = [f"acme-prod-backup-{n:03}-eu-west-1" for n in range(400)]
    many = [
        Told(finding=replace(finding, bucket=replace(finding.bucket, name=name)), change=Change.OPENED)
        for name in names
    ]
    assert len(render.digests(many, TOLD, finding.at)) == 1


def test_the_worst_is_sent_first() -> None:
    early = CASES["mfa-delete-missing"]
    late = replace(early, finding=replace(early.finding, detected_at=early.finding.detected_at + timedelta(hours=1)))
    worst = CASES["mfa-delete-disabled"]
    good = CASES["resolved"]
    assert render.worst_first([good, late, early, worst]) == [worst, early, late, good]


def test_an_unknown_blank_in_the_runbook_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def sections() -> dict[str, Any]:
        return {"turn-mfa-delete-on": "{{no_such_blank}}"}

    monkeypatch.setattr(runbook, "sections", sections)
    with pytest.raises(KeyError, match="no_such_blank"):
        render.runbook_page(CASES["mfa-delete-disabled"], TOLD)
