"""`guardrail doctor`: would anything be noticed? Before and after deploying, with the operator's own credentials."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import click
from botocore.exceptions import ClientError
from rich.console import Console
from rich.markup import escape

from cli.stack import Stack
from shared.aws.calling import code
from shared.facts import RootState
from shared.selectors import logs_deletes_of, logs_management_writes

REFUSED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
NAMED = 5


class State(StrEnum):
    """What a line says."""

    FINE = "fine"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing looked at: what it is, what that means, and the one command that mends it (empty when it is fine)."""

    about: str
    state: State
    meaning: str
    mend: str = ""


type Look = Callable[[Stack], Iterator[Line]]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def doctor(stack: Stack, as_json: bool) -> int:
    """Look whether the guardrail can see and be heard: trail, selectors, rules, schedules, subscriptions, queues, root.

    Each line says what it means and the one command that mends it. Exit code: 0 fine, 1 something to mend, 3 something
    could not be told.
    """
    lines = [line for look in LOOKS for line in _guarded(look, stack)]
    console = Console()
    for line in lines:
        if as_json:
            click.echo(json.dumps(asdict(line)))
        else:
            _show(console, line)
    states = {line.state for line in lines}
    return 1 if State.BAD in states else 3 if State.UNKNOWN in states else 0


def _guarded(look: Look, stack: Stack) -> Iterator[Line]:
    """A refused look is said, never taken for fine or for bad."""
    try:
        yield from look(stack)
    except ClientError as error:
        if code(error) not in REFUSED:
            raise
        what = (look.__doc__ or "").split(":")[0].lower()
        meaning = f"you may not call {error.operation_name}: nobody knows"
        yield Line(
            about=what,
            state=State.UNKNOWN,
            meaning=meaning,
            mend="ask for a role that may read this account's settings",
        )


def _deployed(stack: Stack) -> Iterator[Line]:
    """Stack: is it there?"""
    if stack.exists:
        yield Line(about="stack", state=State.FINE, meaning=f"{stack.name} is deployed in {stack.settings.aws_region}")
    else:
        meaning = f"no stack {stack.name} in {stack.settings.aws_region}: nothing is watched here"
        yield Line(about="stack", state=State.BAD, meaning=meaning, mend="sam build && sam deploy --guided")


def _trails(stack: Stack) -> Iterator[Line]:
    """Trail: does one that is logging hold what the rules wait for?"""
    trails, unreadable = _logging_trails(stack)
    managing = [name for name, selectors in trails.items() if logs_management_writes(selectors)]
    if managing:
        yield Line(about="trail", state=State.FINE, meaning=f"{managing[0]} logs changes of settings")
    elif unreadable:
        yield _unreadable_trail("trail", unreadable)
    else:
        meaning = "no trail that is logging records changes of settings: only the sweep will notice them"
        yield Line(about="trail", state=State.BAD, meaning=meaning, mend=_redeploy(stack, "Trail=all"))
    if not stack.settings.watch_version_deletes:
        meaning = "permanent deletes are not watched, by choice (WatchVersionDeletes=no)"
        yield Line(about="deletes", state=State.FINE, meaning=meaning)
        return
    yield _deletes(stack, trails, unreadable)


def _deletes(stack: Stack, trails: Mapping[str, Any], unreadable: list[str]) -> Line:
    enrolled = sorted(name for name, _ in stack.guard.enrolment().buckets())
    unseen = [
        name
        for name in enrolled
        if not any(logs_deletes_of(name, each, stack.settings.partition) for each in trails.values())
    ]
    unseen = [name for name in unseen if not _sends_its_own_events(stack, name)]
    if not unseen:
        return Line(
            about="deletes", state=State.FINE, meaning=f"deletes of all {len(enrolled)} enrolled buckets are logged"
        )
    if unreadable:
        return _unreadable_trail("deletes", unreadable)
    named = ", ".join(unseen[:NAMED]) + (f" and {len(unseen) - NAMED} more" if len(unseen) > NAMED else "")
    meaning = f"deletes of versions go unseen on {named}: no trail logs them, and S3's own events are off there"
    return Line(about="deletes", state=State.BAD, meaning=meaning, mend=_redeploy(stack, "Trail=deletes"))


def _logging_trails(stack: Stack) -> tuple[dict[str, Any], list[str]]:
    """Selectors of the trails that are logging here, and the names of those whose selectors may not be read."""
    cloudtrail, region = stack.client("cloudtrail"), stack.settings.aws_region
    found: dict[str, Any] = {}
    unreadable = []
    for trail in cloudtrail.describe_trails(includeShadowTrails=True)["trailList"]:
        if not (trail.get("IsMultiRegionTrail") or trail.get("HomeRegion", region) == region):
            continue
        if not cloudtrail.get_trail_status(Name=trail["TrailARN"])["IsLogging"]:
            continue
        try:
            found[trail["Name"]] = cloudtrail.get_event_selectors(TrailName=trail["TrailARN"])
        except ClientError as error:
            if code(error) not in REFUSED | {"TrailNotFoundException"}:
                raise
            unreadable.append(trail["Name"])
    return found, unreadable


def _unreadable_trail(about: str, names: list[str]) -> Line:
    meaning = f"what {names[0]} logs may not be read here (an organization's trail?): nobody knows"
    return Line(
        about=about, state=State.UNKNOWN, meaning=meaning, mend="step 7 of any runbook, the proof, shows it end to end"
    )


def _sends_its_own_events(stack: Stack, bucket: str) -> bool:
    answer = stack.client("s3").get_bucket_notification_configuration(Bucket=bucket)
    return "EventBridgeConfiguration" in answer


def _rules(stack: Stack) -> Iterator[Line]:
    """Rules: are they on, and do they have targets?"""
    events = stack.client("events")
    for name in stack.physical("AWS::Events::Rule"):
        try:
            rule = events.describe_rule(Name=name)
        except ClientError as error:
            if code(error) != "ResourceNotFoundException":
                raise
            yield Line(about="rule", state=State.BAD, meaning=f"{name} is gone", mend=_redeploy(stack))
            continue
        if rule["State"] == "DISABLED":
            mend = f"aws events enable-rule --name {name}"
            yield Line(about="rule", state=State.BAD, meaning=f"{name} is switched off: its events are lost", mend=mend)
        elif not events.list_targets_by_rule(Rule=name)["Targets"]:
            yield Line(
                about="rule",
                state=State.BAD,
                meaning=f"{name} has no target: its events are lost",
                mend=_redeploy(stack),
            )
        else:
            yield Line(about="rule", state=State.FINE, meaning=f"{name} is on")


def _schedules(stack: Stack) -> Iterator[Line]:
    """Schedules: are they on?"""
    scheduler = stack.client("scheduler")
    for name in stack.physical("AWS::Scheduler::Schedule"):
        try:
            is_on = scheduler.get_schedule(Name=name)["State"] != "DISABLED"
        except ClientError as error:
            if code(error) != "ResourceNotFoundException":
                raise
            is_on = False
        if is_on:
            yield Line(about="schedule", state=State.FINE, meaning=f"{name} is on")
        else:
            meaning = f"{name} is off or gone: nothing is swept, or nothing owed is sent"
            yield Line(about="schedule", state=State.BAD, meaning=meaning, mend=_redeploy(stack))


def _subscriptions(stack: Stack) -> Iterator[Line]:
    """Subscriptions: does anybody listen?"""
    if not stack.exists:
        return
    topic = stack.outputs["AlertTopicArn"]
    pages = stack.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    found = [each for page in pages for each in page["Subscriptions"]]
    pending = [each["Endpoint"] for each in found if not each["SubscriptionArn"].startswith("arn:")]
    for endpoint in pending:
        meaning = f"{endpoint} has not confirmed: it gets nothing"
        yield Line(
            about="subscription", state=State.BAD, meaning=meaning, mend="follow the link in the confirmation message"
        )
    if len(found) > len(pending):
        count = len(found) - len(pending)
        yield Line(about="subscription", state=State.FINE, meaning=f"{count} confirmed")
    elif not pending:
        mend = f"aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint you@example.com"
        yield Line(about="subscription", state=State.BAD, meaning="nobody is subscribed: alerts wait", mend=mend)


def _functions(stack: Stack) -> Iterator[Line]:
    """Functions: may they run?"""
    for name in stack.physical("AWS::Lambda::Function"):
        answer = stack.client("lambda").get_function_concurrency(FunctionName=name)
        if answer.get("ReservedConcurrentExecutions") == 0:
            mend = f"aws lambda delete-function-concurrency --function-name {name}"
            yield Line(about="function", state=State.BAD, meaning=f"{name} is throttled to zero", mend=mend)
        else:
            yield Line(about="function", state=State.FINE, meaning=f"{name} may run")


def _queues(stack: Stack) -> Iterator[Line]:
    """Failure queues: does anything wait there?"""
    for output in ("DeadLetterUrl", "OnFailureUrl") if stack.exists else ():
        answer = stack.client("sqs").get_queue_attributes(
            QueueUrl=stack.outputs[output], AttributeNames=["ApproximateNumberOfMessages"]
        )
        count = int(answer["Attributes"]["ApproximateNumberOfMessages"])
        name = output.removesuffix("Url")
        if count:
            meaning = f"{count} message(s) wait in {name}: something was not looked at"
            yield Line(about="failures", state=State.BAD, meaning=meaning, mend="guardrail redrive --dry-run")
        else:
            yield Line(about="failures", state=State.FINE, meaning=f"{name} is empty")


def _root(stack: Stack) -> Iterator[Line]:
    """Root: could the runbook be followed today, and was its last step done?"""
    root = stack.guard.root().read(stack.settings.account_id)
    if not isinstance(root, RootState):
        meaning = f"you may not call {root.action}: nobody knows"
        yield Line(
            about="root", state=State.UNKNOWN, meaning=meaning, mend="ask for a role that may read IAM's summary"
        )
        return
    if root.access_key:
        mend = "as root: console, Security credentials, Access keys, Delete"
        yield Line(about="root", state=State.BAD, meaning="root has an access key: it can do everything", mend=mend)
    else:
        yield Line(about="root", state=State.FINE, meaning="root has no access key")
    if root.codes:
        yield Line(about="root", state=State.FINE, meaning="root has a device that shows codes")
    else:
        meaning = (
            "no device of root is known that shows codes (a hardware token is in no list): MFA delete cannot be changed"
        )
        state = State.UNKNOWN if root.device else State.BAD
        mend = "as root: console, Security credentials, Assign MFA device, Authenticator app"
        yield Line(about="root", state=state, meaning=meaning, mend=mend)


def _regions(stack: Stack) -> Iterator[Line]:
    """Regions: do enrolled buckets lie where there is no stack?"""
    here = stack.settings.aws_region
    pages = stack.client("s3").get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 1000})
    regions = {bucket.get("BucketRegion", here) for page in pages for bucket in page["Buckets"]} - {here}
    for region in sorted(regions):
        enrolled = stack.enrolled_in(region)
        if enrolled and not stack.exists_in(region):
            meaning = f"{len(enrolled)} enrolled bucket(s) in {region}, {enrolled[0]} among them, and no stack there"
            yield Line(about="region", state=State.BAD, meaning=meaning, mend=f"sam deploy --region {region}")


LOOKS: tuple[Look, ...] = (
    _deployed, _trails, _rules, _schedules, _subscriptions, _functions, _queues, _root, _regions,
)  # fmt: skip


def _redeploy(stack: Stack, parameter: str = "") -> str:
    what = f" --parameter-overrides {parameter}" if parameter else ""
    return f"sam deploy --stack-name {stack.name}{what}"


def _show(console: Console, line: Line) -> None:
    colour = {State.FINE: "green", State.BAD: "red", State.UNKNOWN: "yellow"}[line.state]
    text = escape("".join(char if char.isprintable() else "?" for char in line.meaning))
    console.print(f"[{colour}]{line.state.value:8}[/]{line.about:13} {text}")
    if line.mend:
        console.print(f"                      -> {escape(line.mend)}", soft_wrap=True)
