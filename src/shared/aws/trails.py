"""Do the trails log what the rules wait for? Reads trails, selectors, and buckets' own notifications."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from shared.aws.calling import WORKERS, code, is_refused
from shared.facts import Condition, State
from shared.selectors import left_out, logs_deletes_of, logs_management_writes
from shared.settings import Settings

NAMED = 5
ENOUGH = 20
"""So many unseen buckets are proof enough; the others are not asked for their notifications."""
PROOF = "follow step 7 of any bucket's runbook, the proof: it shows end to end whether deletes are seen"

type Clients = Callable[..., Any]
"""`clients(service, region=None)`: a client of the function's role, or of the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """A trail that is logging in this Region. `selectors` is None if they may not be read."""

    name: str
    arn: str
    selectors: Mapping[str, Any] | None
    delivery_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailsRead:
    """What the trails log: conditions, the ARNs of those that feed us, whether the canary's deletes are logged.

    unlogged: whose deletes on enrolled buckets they leave out, and which trail does; None if nobody could look.
    """

    conditions: tuple[Condition, ...]
    feeding: tuple[str, ...]
    canary_logged: bool
    unlogged: tuple[str, ...] | None


def read(settings: Settings, clients: Clients, enrolled: Sequence[str]) -> TrailsRead:
    """Look at every trail that logs here. enrolled: names of the buckets whose deletes are to be seen."""
    trails = list(_logging(settings, clients))
    canary = settings.canary_bucket
    conditions = [_management(settings, trails)]
    unlogged: tuple[str, ...] = ()
    if settings.watch_version_deletes:
        conditions.append(_deletes(settings, clients, trails, enrolled))
        unlogged = _unlogged(settings, trails, enrolled)
        conditions += [_by_choice(each) for each in unlogged]
    feeding = [each for each in trails if _feeds(each, settings, enrolled)]
    conditions += [_failing(each) for each in feeding if each.delivery_error]
    return TrailsRead(
        conditions=tuple(conditions),
        feeding=tuple(each.arn for each in feeding),
        canary_logged=bool(canary) and any(_logs_deletes(each, canary, settings) for each in trails),
        unlogged=unlogged,
    )


def _unlogged(settings: Settings, trails: Sequence[Trail], enrolled: Sequence[str]) -> tuple[str, ...]:
    """Who is left out on any enrolled bucket by all trails that log its deletes."""
    found: dict[str, set[str]] = defaultdict(set)
    for bucket in enrolled:
        logging = {each.name: each.selectors for each in trails if each.selectors}
        logging = {name: has for name, has in logging.items() if logs_deletes_of(bucket, has, settings.partition)}
        for who in left_out(bucket, logging.values(), settings.partition):
            found[who] |= logging.keys()
    return tuple(f"{who} (excluded by trail {', '.join(sorted(names))})" for who, names in sorted(found.items()))


def _by_choice(who: str) -> Condition:
    return Condition(about="deletes", state=State.FINE, meaning=f"by choice, not seen: deletes by {who}")


def _logging(settings: Settings, clients: Clients) -> Iterator[Trail]:
    cloudtrail, region = clients("cloudtrail"), settings.aws_region
    for trail in cloudtrail.describe_trails(includeShadowTrails=True)["trailList"]:
        if not (trail.get("IsMultiRegionTrail") or trail.get("HomeRegion", region) == region):
            continue
        try:
            status = cloudtrail.get_trail_status(Name=trail["TrailARN"])
        except ClientError as error:
            if code(error) != "TrailNotFoundException":  # deleted between the two requests
                raise
            continue
        if status["IsLogging"]:
            yield Trail(
                name=trail["Name"],
                arn=trail["TrailARN"],
                selectors=_selectors(cloudtrail, trail["TrailARN"]),
                delivery_error=status.get("LatestDeliveryError") or "",
            )


def _selectors(cloudtrail: Any, arn: str) -> Mapping[str, Any] | None:
    """An organization's trail can be seen in a member account, its selectors cannot."""
    try:
        answer: Mapping[str, Any] = cloudtrail.get_event_selectors(TrailName=arn)
    except ClientError as error:
        if is_refused(error) or code(error) == "TrailNotFoundException":
            return None
        raise
    return answer


def _management(settings: Settings, trails: Sequence[Trail]) -> Condition:
    named = [each.name for each in trails if each.selectors and logs_management_writes(each.selectors)]
    if named:
        return Condition(about="trail", state=State.FINE, meaning=f"{named[0]} logs changes of settings")
    if unreadable := [each.name for each in trails if each.selectors is None]:
        return _unreadable("trail", unreadable[0])
    return Condition(
        about="trail",
        state=State.BAD,
        problem="no-trail",
        meaning="no trail that is logging records changes of settings: only the sweep will notice them",
        mend=f"{redeploy(settings)} --parameter-overrides Trail=all",
        blinds=True,
    )


def _unreadable(about: str, trail: str) -> Condition:
    meaning = f"what the trail {trail} logs may not be read here (an organization's trail?): nobody knows"
    return Condition(about=about, state=State.UNKNOWN, problem=f"{about}-unverifiable", meaning=meaning, mend=PROOF)


def _deletes(settings: Settings, clients: Clients, trails: Sequence[Trail], enrolled: Sequence[str]) -> Condition:
    unlogged = [name for name in enrolled if not any(_logs_deletes(each, name, settings) for each in trails)]
    unseen = _without_own_events(clients("s3"), unlogged)
    if not unseen:
        meaning = f"deletes of all {len(enrolled)} enrolled buckets are logged"
        return Condition(about="deletes", state=State.FINE, meaning=meaning)
    if unreadable := [each.name for each in trails if each.selectors is None]:
        return _unreadable("deletes", unreadable[0])
    more = f" and {len(unseen) - NAMED} or more others" if len(unseen) > NAMED else ""
    return Condition(
        about="deletes",
        state=State.BAD,
        problem="deletes-unseen",
        meaning=f"deletes of versions go unseen on {', '.join(unseen[:NAMED])}{more}: no trail logs all of them, and "
        "S3's own events are off there",
        mend=f"{settings.command} selectors --write (or {redeploy(settings)} --parameter-overrides Trail=deletes)",
    )


def _without_own_events(s3: Any, buckets: Sequence[str]) -> list[str]:
    """Those that do not send their own events to EventBridge; not more than are enough to know."""
    unseen: list[str] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(buckets), WORKERS):
            batch = buckets[start : start + WORKERS]
            answers = pool.map(lambda name: _sends_own_events(s3, name), batch)
            unseen += [name for name, sends in zip(batch, answers, strict=True) if not sends]
            if len(unseen) >= ENOUGH:
                break
    return unseen


def _sends_own_events(s3: Any, bucket: str) -> bool:
    """A bucket that is gone has nothing left to delete; one that refuses the read is not known to send anything."""
    try:
        return "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(Bucket=bucket)
    except ClientError as error:
        if code(error) == "NoSuchBucket":
            return True
        if is_refused(error):
            return False
        raise


def _feeds(trail: Trail, settings: Settings, enrolled: Sequence[str]) -> bool:
    if trail.selectors is None:
        return True
    return logs_management_writes(trail.selectors) or any(_logs_deletes(trail, name, settings) for name in enrolled)


def _logs_deletes(trail: Trail, bucket: str, settings: Settings) -> bool:
    return trail.selectors is not None and logs_deletes_of(bucket, trail.selectors, settings.partition)


def _failing(trail: Trail) -> Condition:
    return Condition(
        about="delivery",
        state=State.BAD,
        problem="trail-delivery",
        meaning=f"the trail {trail.name} cannot deliver its logs ({trail.delivery_error}): what happens now will not "
        "be found in them later",
        mend=f"aws cloudtrail get-trail-status --name {trail.arn} (then mend the policy of its bucket)",
    )


def redeploy(settings: Settings) -> str:
    """The command that changes the stack; with parameters as they are it changes nothing."""
    return f"sam deploy --stack-name {settings.stack_name} --region {settings.aws_region}"


def put_back(settings: Settings) -> str:
    """What brings back a part that was deleted or changed by hand: CloudFormation takes it for there and right."""
    return f"{settings.command} runbook --section restore-the-guardrail: its step 2 puts back what the template says"
