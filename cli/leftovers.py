"""What the deletion of the stack would leave behind, hold up or lose, for `guardrail uninstall`: it only reads.

Source: CloudFormation user guide, DeletionPolicy; API references of DeleteEventBus, DeletePolicy, DeleteTopic,
ScheduleKeyDeletion; SAM developer guide, sam delete.
"""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from cli.bill import of_deletes
from cli.room import Room, why
from cli.selectors import owner_of, title_for
from shared.aws.calling import AWS_ERRORS
from shared.aws.parts import depth
from shared.aws.roster import Roster
from shared.facts import RootState, Unreadable

SAM = "aws-sam-cli-managed-default"
STACK_SET = "mfa-delete-guardrail-spokes"
"""As docs/many-accounts.md calls it."""
EMPTY = (
    "aws s3api list-object-versions --bucket {0} --max-items 1000 --output json"
    " --query '{{Objects: [Versions, DeleteMarkers][].{{Key: Key, VersionId: VersionId}}}}'"
    " | aws s3api delete-objects --bucket {0} --delete file:///dev/stdin"
)
"""A bucket with versions; a request takes a thousand of them, and no argument does: Linux ends one at 128 KiB."""
UNDO = "docs/root-holder.md"
"""What says how. Its command stands in no list of commands to be pasted: it would take the protection away."""


class Kind(StrEnum):
    """What becomes of it: it must go first, it stays, it ends by itself, it is lost; or nobody knows."""

    FIRST = "first"
    STAYS = "stays"
    ENDS = "ends"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """One thing, what becomes of it, and the commands that remove it."""

    kind: Kind
    about: str
    meaning: str
    commands: tuple[str, ...] = ()


type Look = Callable[[Room], Iterator[Leftover]]
"""Its docstring begins with what it looks at, up to the colon."""


def leftovers(room: Room) -> list[Leftover]:
    """What all looks find; one that is refused is said, never taken for nothing."""
    return [each for look in LOOKS for each in _guarded(look, room)]


def _guarded(look: Look, room: Room) -> Iterator[Leftover]:
    try:
        yield from look(room)
    except AWS_ERRORS as error:
        about = (look.__doc__ or "").split(":")[0].lower()
        yield Leftover(kind=Kind.UNKNOWN, about=about, meaning=f"nobody knows what is left of it: {why(error)}")


# ---- what must go first ---------------------------------------------------------------------------------------------


def _termination_protection(room: Room) -> Iterator[Leftover]:
    """Stack: may it be deleted?"""
    if room.stack.is_protected:
        command = f"aws cloudformation update-termination-protection {room.where} --stack-name {room.stack.name}"
        yield Leftover(
            kind=Kind.FIRST,
            about="stack",
            meaning="termination protection is on",
            commands=(f"{command} --no-enable-termination-protection",),
        )


def _policies(room: Room) -> Iterator[Leftover]:
    """Policies: is one of ours attached to somebody? IAM deletes none that is."""
    iam = room.stack.client("iam")
    for arn in room.stack.physical("AWS::IAM::ManagedPolicy"):
        pages = iam.get_paginator("list_entities_for_policy").paginate(PolicyArn=arn)
        for page in pages:
            for kind in ("Group", "Role", "User"):
                for name in (entity[f"{kind}Name"] for entity in page.get(f"Policy{kind}s", [])):
                    verb, option = f"detach-{kind.lower()}-policy", f"--{kind.lower()}-name"
                    yield Leftover(
                        kind=Kind.FIRST,
                        about="policies",
                        meaning=f"{arn.rpartition('/')[2]} is attached to {kind.lower()} {name}",
                        commands=(f"aws iam {verb} {option} {shlex.quote(name)} --policy-arn {arn}",),
                    )


def _rules(room: Room) -> Iterator[Leftover]:
    """Rules: are there some of yours on our bus? EventBridge deletes no bus that has any."""
    bus, events = room.told.event_bus_name, room.stack.client("events")
    if not bus:
        return
    for page in events.get_paginator("list_rules").paginate(EventBusName=bus):
        for rule in (each["Name"] for each in page["Rules"]):
            named = f"{room.where} --event-bus-name {bus}"
            targets = f"$(aws events list-targets-by-rule {named} --rule {rule} --query 'Targets[].Id' --output text)"
            yield Leftover(
                kind=Kind.FIRST,
                about="rules",
                meaning=f"rule {rule} of yours is on the bus {bus}",
                commands=(
                    f"aws events remove-targets {named} --rule {rule} --ids {targets}",
                    f"aws events delete-rule {named} --name {rule}",
                ),
            )


def _drill(room: Room) -> Iterator[Leftover]:
    """Drill: is its bucket as empty as it should be?"""
    canary = room.told.canary_bucket
    if not canary:
        return
    found = room.stack.client("s3").list_object_versions(Bucket=canary, MaxKeys=1)
    if found.get("Versions") or found.get("DeleteMarkers"):
        meaning = f"somebody put something into the drill's bucket {canary}, which lets nobody delete a version"
        without = f"aws s3api delete-bucket-policy --bucket {canary}"
        yield Leftover(kind=Kind.FIRST, about="drill", meaning=meaning, commands=(without, EMPTY.format(canary)))


# ---- what is lost ---------------------------------------------------------------------------------------------------


def _watch(room: Room) -> Iterator[Leftover]:
    """Watch: which buckets will nobody look after?"""
    if room.watched:
        meaning = f"nobody watches {len(room.watched)} bucket(s) any more: {', '.join(room.watched)}"
        yield Leftover(kind=Kind.LOST, about="watch", meaning=meaning)


def _owed(room: Room) -> Iterator[Leftover]:
    """Alerts: is one still owed?"""
    owed, unread = room.stack.guard.store.owed_and_unread()
    if number := len(owed) + len(unread):
        meaning = f"{number} alert(s) are owed and were not sent yet; {room.told.command} doctor says why"
        yield Leftover(kind=Kind.LOST, about="alerts", meaning=meaning, commands=(room.stack.outputs["SweepNow"],))


def _failures(room: Room) -> Iterator[Leftover]:
    """Failures: does something wait in the failure queues?"""
    sqs, outputs = room.stack.client("sqs"), room.stack.outputs
    number = sum(depth(sqs, outputs[name]) for name in ("DeadLetterUrl", "OnFailureUrl"))
    if number:
        meaning = f"{number} message(s) wait in the failure queues: events that nobody looked at"
        command = f"{room.told.command} redrive --dry-run"
        yield Leftover(kind=Kind.LOST, about="failures", meaning=meaning, commands=(command,))


# ---- what stays -----------------------------------------------------------------------------------------------------


def _protection(room: Room) -> Iterator[Leftover]:
    """MFA delete: which buckets have it?"""
    for bucket in room.buckets:
        if isinstance(bucket.reading, Unreadable):
            meaning = f"nobody knows whether {bucket.name} has MFA delete: {bucket.reading.action} is refused"
            yield Leftover(kind=Kind.UNKNOWN, about="mfa delete", meaning=meaning)
        elif bucket.has_mfa_delete:
            meaning = f"{bucket.name} keeps MFA delete and versioning; only root, with a code, can turn it off: {UNDO}"
            yield Leftover(kind=Kind.STAYS, about="mfa delete", meaning=meaning)


def _tags(room: Room) -> Iterator[Leftover]:
    """Tags: which buckets carry ours? They do nothing without the stack."""
    account = f"{room.where} --account-id {room.told.account_id}"
    for bucket in room.buckets:
        if bucket.tags:
            arn = f"arn:{room.told.partition}:s3:::{bucket.name}"
            keys = " ".join(shlex.quote(key) for key in sorted(bucket.tags))
            command = f"aws s3control untag-resource {account} --resource-arn {arn} --tag-keys {keys}"
            meaning = f"{bucket.name} carries {', '.join(sorted(bucket.tags))}"
            yield Leftover(kind=Kind.STAYS, about="tags", meaning=meaning, commands=(command,))


def _contained(room: Room) -> Iterator[Leftover]:
    """Statements: which bucket policies have that of guardrail contain?"""
    for bucket in room.buckets:
        if bucket.refused:
            meaning = f"nobody knows whether the policy of {bucket.name} has our statement: {bucket.refused}"
            yield Leftover(kind=Kind.UNKNOWN, about="statements", meaning=meaning)
        if bucket.contained:
            meaning = f"the policy of {bucket.name} refuses permanent deletes to everybody"
            command = f"{room.told.command} contain {bucket.name} --undo"
            yield Leftover(kind=Kind.STAYS, about="statements", meaning=meaning, commands=(command,))


def _selectors(room: Room) -> Iterator[Leftover]:
    """Selectors: which trails of yours did guardrail selectors write ours into? They cost what they log."""
    own = {*room.stack.physical("AWS::CloudTrail::Trail")}
    trails = room.stack.client("cloudtrail").describe_trails(includeShadowTrails=True)["trailList"]
    for trail in trails:
        if {trail["Name"], trail["TrailARN"]} & own or owner_of(trail["TrailARN"]) != room.told.account_id:
            continue
        home = trail.get("HomeRegion", room.told.aws_region)
        answer = room.stack.client("cloudtrail", home).get_event_selectors(TrailName=trail["TrailARN"])
        found = answer.get("AdvancedEventSelectors") or []
        others = [each for each in found if each.get("Name") != title_for(room.stack)]
        if len(others) < len(found):
            yield _selector(trail["Name"], home, others)


def _selector(name: str, home: str, others: list[Any]) -> Leftover:
    """A trail must have one selector at least."""
    meaning = f"trail {name} logs the deletes on the enrolled buckets, ${of_deletes(100_000):.2f} per 100,000"
    kept = shlex.quote(json.dumps(others, separators=(",", ":")))
    command = (
        f"aws cloudtrail put-event-selectors --region {home} --trail-name {name} --advanced-event-selectors {kept}"
    )
    if not others:
        meaning += ", and nothing else; it is yours and goes whole: see first, with get-trail, whose it is"
        named = f"--region {home} --name {name}"
        look, command = f"aws cloudtrail get-trail {named}", f"aws cloudtrail delete-trail {named}"
        return Leftover(kind=Kind.STAYS, about="selectors", meaning=meaning, commands=(look, command))
    return Leftover(kind=Kind.STAYS, about="selectors", meaning=meaning, commands=(command,))


def _table(room: Room) -> Iterator[Leftover]:
    """Table: the findings and their history."""
    name = room.told.table_name
    yield Leftover(
        kind=Kind.STAYS,
        about="table",
        meaning=f"{name}: findings, and {room.told.history_days} days of history; its last backup stays 35 days more",
        commands=(f"aws dynamodb delete-table {room.where} --table-name {name}",),
    )


def _trail_logs(room: Room) -> Iterator[Leftover]:
    """Trail's logs: the bucket of our own trail, which is evidence."""
    if name := room.stack.outputs.get("TrailLogBucket"):
        yield Leftover(
            kind=Kind.STAYS,
            about="trail's logs",
            meaning=f"bucket {name}, with all that the trail wrote; the first command until nothing is left",
            commands=(EMPTY.format(name), f"aws s3api delete-bucket {room.where} --bucket {name}"),
        )


def _sam(room: Room) -> Iterator[Leftover]:
    """SAM: its own stack, with the packages of all that it deployed here."""
    try:
        answer = room.stack.client("cloudformation").describe_stacks(StackName=SAM)
    except ClientError as error:
        if "does not exist" in str(error):
            return
        raise
    outputs = {each["OutputKey"]: each["OutputValue"] for each in answer["Stacks"][0].get("Outputs", [])}
    if bucket := outputs.get("SourceBucket"):
        yield Leftover(
            kind=Kind.STAYS,
            about="sam",
            meaning=f"stack {SAM} with bucket {bucket}, where other stacks may have their packages, too",
            commands=(EMPTY.format(bucket), f"aws cloudformation delete-stack {room.where} --stack-name {SAM}"),
        )


def _spokes(room: Room) -> Iterator[Leftover]:
    """Spokes: stacks in other accounts and Regions, which forward their events to nobody from then on."""
    found = Roster(room.told.table_name, "", room.stack.guard.store.client).spokes(room.stack.guard.clock())
    if found:
        regions = " ".join(sorted({spoke.region for spoke in found}))
        places = ", ".join(f"{spoke.account} {spoke.region}" for spoke in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        instances = f"aws cloudformation delete-stack-instances --stack-set-name {STACK_SET} --no-retain-stacks"
        yield Leftover(
            kind=Kind.STAYS,
            about="spokes",
            meaning=f"{len(found)} that said hello: {places}{more}; there by a StackSet, or each by its own stack",
            commands=(
                f"{instances} --deployment-targets OrganizationalUnitIds=ROOT_ID --regions {regions}",
                f"aws cloudformation delete-stack-set --stack-set-name {STACK_SET}",
            ),
        )


def _root(room: Room) -> Iterator[Leftover]:
    """Root: is an access key left from the runbook?"""
    root = room.stack.guard.root().read(room.told.account_id)
    if isinstance(root, RootState) and root.access_key:
        meaning = "root has an access key, which nobody will tell of any more; as root:"
        command = "aws iam delete-access-key --access-key-id KEY_ID"
        yield Leftover(kind=Kind.STAYS, about="root", meaning=meaning, commands=(command,))
    elif not isinstance(root, RootState):
        meaning = f"nobody knows whether root has an access key: {root.action} is refused"
        yield Leftover(kind=Kind.UNKNOWN, about="root", meaning=meaning)


def _elsewhere(room: Room) -> Iterator[Leftover]:
    """Elsewhere: what was set up outside of AWS, or ends by itself."""
    # CloudFormation shows HeartbeatUrl to nobody, nor whether it is empty
    meaning = "the dead man's switch, if HeartbeatUrl names one: it rings within the hour, so switch it off where it is"
    yield Leftover(kind=Kind.STAYS, about="elsewhere", meaning=meaning)
    if room.told.pager_topic_arn:
        meaning = "the integration of the pager, and the incidents that are open there"
        yield Leftover(kind=Kind.STAYS, about="elsewhere", meaning=meaning)
    if room.told.chat_topic_arn:
        meaning = f"the channel of Amazon Q Developer names the topic {room.told.chat_topic_arn}, which is gone then"
        yield Leftover(kind=Kind.STAYS, about="elsewhere", meaning=meaning)
    if room.told.security_hub:
        meaning = "findings in Security Hub, which forgets them 90 days after their last update"
        yield Leftover(kind=Kind.ENDS, about="elsewhere", meaning=meaning)
    for key in room.stack.physical("AWS::KMS::Key"):
        meaning = f"the key of the alerts {key}, which CloudFormation schedules to be deleted after 30 days"
        yield Leftover(kind=Kind.ENDS, about="elsewhere", meaning=meaning)
    meaning = "metrics in MfaDeleteGuardrail, which CloudWatch forgets after 15 months"
    yield Leftover(kind=Kind.ENDS, about="elsewhere", meaning=meaning)


RETAINED: Mapping[str, Look] = {"Table": _table, "TrailLogs": _trail_logs}
"""The parts that template.yaml tells CloudFormation to keep (tests/template/test_upgrade.py)."""
LOOKS: tuple[Look, ...] = (
    *(
        _termination_protection,
        _policies,
        _rules,
        _drill,
        _watch,
        _owed,
        _failures,
        _protection,
        _tags,
        _contained,
        _selectors,
    ),
    *RETAINED.values(),
    *(_sam, _spokes, _root, _elsewhere),
)
