"""Look at every part of the guardrail itself: is it there, is it on, is it what this version deploys?"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from shared.aws import outlets, policies, trails, wiring
from shared.aws.buckets import Enrolment
from shared.aws.calling import code, is_refused
from shared.aws.parts import Part, Stack, bad, depth, fine, is_gone, parts_of, refused, unseen
from shared.aws.roster import Roster
from shared.aws.trails import Clients, put_back
from shared.facts import Condition, GuardrailHealth
from shared.settings import Settings

FAILURES = ("DeadLetterQueue", "OnFailureQueue")
DEPLOY_LIMIT = timedelta(hours=1)
"""A part that CloudFormation has been changing for longer is stuck, and no excuse."""

_SWITCHED_OFF = {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidToken", "OptInRequired", "AuthFailure"}
"""How an opt-in Region answers in which there are buckets still, and which was switched off again."""

type Look[S] = Callable[[S], Iterator[Condition]]
"""A look at one kind of part. Its docstring begins with what it looks at, up to the colon."""


def read(settings: Settings, clients: Clients, enrolled: Sequence[str], now: datetime) -> GuardrailHealth:
    """Look at everything. A refused look is a condition of its own, never fine and never bad."""
    parts = parts_of(settings, clients)
    stack = Stack(settings=settings, clients=clients, parts=parts, enrolled=enrolled)
    conditions = [each for look in LOOKS for each in guarded(look, stack)]
    logged = guarded_trails(stack)
    digest, hidden = guarded_policies(stack)
    return GuardrailHealth(
        conditions=(*logged.conditions, *conditions, *hidden),
        feeding=logged.feeding,
        policies=digest,
        deployed_at=max(part.changed_at for part in parts.values()).isoformat(),
        deploying=any(part.changing and now - part.changed_at < DEPLOY_LIMIT for part in parts.values()),
        canary_logged=logged.canary_logged,
        unlogged=logged.unlogged,
    )


def guarded_trails(stack: Stack) -> trails.TrailsRead:
    """The trails, or that they may not be looked at."""
    try:
        return trails.read(stack.settings, stack.clients, stack.enrolled)
    except ClientError as error:
        if not is_refused(error):
            raise
        return trails.TrailsRead(conditions=(refused("trail", error),), feeding=(), canary_logged=False, unlogged=None)


def guarded_policies(stack: Stack) -> tuple[str, tuple[Condition, ...]]:
    """The digest of the policies; or none, and that they may not be looked at."""
    try:
        return policies.digest(stack), ()
    except ClientError as error:
        if not is_refused(error):
            raise
        return "", (refused("policies", error),)


def guarded[S](look: Look[S], stack: S) -> Iterator[Condition]:
    """A refused look is said, never taken for fine or for bad."""
    try:
        yield from look(stack)
    except ClientError as error:
        if not is_refused(error):
            raise
        yield refused((look.__doc__ or "").split(":")[0].lower(), error)


_FED = {"VersionDeleteFunctionDeletes": "version deletes", "SpokeMapping": "the turns of spokes"}


def _functions(stack: Stack) -> Iterator[Condition]:
    """Function: may it run?"""
    client, region = stack.clients("lambda"), stack.settings.aws_region
    for part in stack.of("AWS::Lambda::Function"):
        try:
            reserved = client.get_function_concurrency(FunctionName=part.name).get("ReservedConcurrentExecutions")
        except ClientError as error:
            if not is_gone(error):
                raise
            yield bad("function", "gone", f"{part.name} is gone", put_back(stack.settings), part)
            continue
        if reserved == 0:
            mend = f"aws lambda delete-function-concurrency --region {region} --function-name {part.name}"
            yield bad("function", "throttled", f"{part.name} is throttled to zero", mend, part)
        else:
            yield fine("function", f"{part.name} may run")
    for part in stack.of("AWS::Lambda::EventSourceMapping"):
        yield _mapping(client, part, stack)


def _mapping(client: Any, part: Part, stack: Stack) -> Condition:
    try:
        state = client.get_event_source_mapping(UUID=part.name)["State"]
    except ClientError as error:
        if not is_gone(error):
            raise
        state = "Gone"
    what = _FED.get(part.logical_id, f"what {part.logical_id} brings")  # that of a newer version, just being deployed
    if state in {"Disabled", "Disabling", "Deleting", "Gone"}:
        mend = (
            f"aws lambda update-event-source-mapping --region {stack.settings.aws_region} --enabled --uuid {part.name}"
        )
        return bad("function", "unfed", f"nobody takes {what} from their queue", mend)
    return fine("function", f"{what} are taken from their queue")


def _queues(stack: Stack) -> Iterator[Condition]:
    """Queue: does anything wait where failures go?"""
    for logical_id in FAILURES:
        part = stack.parts.get(logical_id)
        if part is None:
            continue
        count = _depth(stack, part)
        if count is None:
            yield bad("queue", "gone", f"{part.tail} is gone: what fails is lost", put_back(stack.settings))
        elif count:
            meaning = f"{count} message(s) wait in {logical_id}: something was not looked at"
            yield bad("queue", "waiting", meaning, f"{stack.settings.command} redrive --dry-run")
        else:
            yield fine("queue", f"{logical_id} is empty")


def _depth(stack: Stack, part: Part) -> int | None:
    """How many messages are in a queue; None if it is gone."""
    try:
        return depth(stack.clients("sqs"), part.name)
    except ClientError as error:
        if not is_gone(error):
            raise
        return None


def waiting(settings: Settings, clients: Clients) -> tuple[str, ...]:
    """The queues in which something is: where a drill that is late may have got stuck."""
    stack = Stack(settings=settings, clients=clients, parts=parts_of(settings, clients), enrolled=())
    queues = [stack.parts[each] for each in ("DeleteQueue", *FAILURES) if each in stack.parts]
    return tuple(part.logical_id for part in queues if _depth(stack, part))


def _regions(stack: Stack) -> Iterator[Condition]:
    """Region: do enrolled buckets lie where there is no stack?"""
    here = stack.settings.aws_region
    pages = stack.clients("s3").get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 1000})
    regions = {bucket.get("BucketRegion", here) for page in pages for bucket in page["Buckets"]} - {here}
    for region in sorted(regions):
        try:
            yield from _region(stack, region)
        except ClientError as error:
            if code(error) not in _SWITCHED_OFF:
                raise
            yield unseen("region", region, error)


def _region(stack: Stack, region: str) -> Iterator[Condition]:
    told, tagging = stack.settings, stack.clients("resourcegroupstaggingapi", region)
    enrolled = sorted(name for name, _ in Enrolment(told.protect_tag_key, told.protect_tag_value, tagging).buckets())
    if enrolled and not (
        _has_spoke(stack, region) or _exists(stack.clients("cloudformation", region), told.stack_name)
    ):
        meaning = f"{len(enrolled)} enrolled bucket(s) in {region}, {enrolled[0]} among them, and no stack there"
        yield bad("region", f"uncovered-{region}", meaning, f"sam deploy --region {region}")


def _has_spoke(stack: Stack, region: str) -> bool:
    told = stack.settings
    return told.has_spokes and Roster(told.table_name, "", stack.clients("dynamodb")).knows(told.account_id, region)


def _exists(cloudformation: Any, name: str) -> bool:
    try:
        return bool(cloudformation.describe_stacks(StackName=name)["Stacks"])
    except ClientError as error:
        if "does not exist" in str(error):
            return False
        raise


LOOKS: tuple[Look[Stack], ...] = (
    wiring.rules, wiring.schedules, _functions, _queues, outlets.topics, outlets.bus, outlets.key, outlets.alarms,
    _regions,
)  # fmt: skip
