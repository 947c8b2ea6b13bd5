"""`guardrail selectors`: make a trail log the deletes on the enrolled buckets; with the operator's credentials alone.

Source: CloudTrail API reference, PutEventSelectors, EventSelector, DataResource and AdvancedEventSelector.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from cli.bill import of_deletes
from cli.screen import printable
from cli.stack import Stack, Trouble

LIMIT = 500
"""Values of all conditions of all advanced selectors that a trail may have."""
NAMES, CHARACTERS = 200, 4096
"""What TrailBuckets can hold: so many names by its description, so many characters by CloudFormation."""
TEMPLATES = "Deletes of objects"
"""The name of the selector that template.yaml gives the stack's own trail: ours has to take its place there."""
NOBODY = "no bucket is enrolled whose deletes could be logged: nothing is changed"
READ_ONLY = {"All": [], "ReadOnly": ["true"], "WriteOnly": ["false"]}
EXCLUDABLE = {"kms.amazonaws.com", "rdsdata.amazonaws.com"}
EVERY = {
    "AWS::S3::Object": (":s3", ":s3:::"),
    "AWS::Lambda::Function": (":lambda",),
    "AWS::DynamoDB::Table": (":dynamodb",),
}

type Selector = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """A trail that logs here; `home` is the one Region in which it can be changed."""

    name: str
    arn: str
    home: str
    log_bucket: str
    is_ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the trail would have: `mine` is our selector, `was` the one that we wrote before."""

    trail: Trail
    buckets: tuple[str, ...]
    after: tuple[Selector, ...]
    mine: Selector
    was: Selector | None
    converted: int
    before: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether there is something to write; ours cannot be there while the trail has basic selectors."""
        return self.was is None or _conditions(self.was) != _conditions(self.mine)

    @property
    def logged_every_bucket(self) -> bool:
        """Whether our selector named no bucket until now, as template.yaml's does when TrailBuckets is empty."""
        return self.was is not None and not self.before


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be written (the default).")
@click.option("--write", is_flag=True, help="Write it, showing what was before.")
@click.option("--trail", "named", metavar="NAME", help="Name or ARN of a trail (default: the stack's own).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def selectors(stack: Stack, dry_run: bool, write: bool, named: str | None, as_json: bool) -> int:
    """Let a trail log the deletes on the enrolled buckets; all else that it logs stays.

    Exit code: 0 nothing to do or written, 1 --write would change something, 3 refused or could not tell.
    """
    if dry_run and write:
        raise click.UsageError("--dry-run and --write exclude each other")
    watched = _watched(stack)
    trail = _trail(stack, named) if watched else None
    buckets = [name for name in watched if trail and name != trail.log_bucket]
    if trail is None or not buckets:
        nothing = {"buckets": [], "added": [], "removed": [], "changes": False, "written": False, "notes": [NOBODY]}
        click.echo(json.dumps(nothing) if as_json else NOBODY)
        return 0
    plan = _plan(stack, trail, watched)
    written = write and plan.changes
    if written:
        client = stack.client("cloudtrail", trail.home)
        client.put_event_selectors(TrailName=trail.arn, AdvancedEventSelectors=list(plan.after))
    if as_json:
        click.echo(json.dumps(_document(plan, written=written)))
    else:
        _show(plan, write=write)
    return int(plan.changes and not written)


def _watched(stack: Stack) -> list[str]:
    """The buckets that are enrolled or still judged, and the drill's own, if there is one."""
    canary = stack.settings.canary_bucket
    return sorted({*stack.watched(), *([canary] if canary else [])})


def _trail(stack: Stack, named: str | None) -> Trail:
    """Raises Trouble when there is none, or it is not ours to change."""
    account, region = stack.settings.account_id, stack.settings.aws_region
    ours = stack.physical("AWS::CloudTrail::Trail")
    wanted = named or next(iter(ours), None)
    if wanted is None:
        raise Trouble("the stack has no trail of its own; give --trail NAME, or sam deploy with Trail=deletes")
    trails = stack.client("cloudtrail").describe_trails(includeShadowTrails=True)["trailList"]
    same = [each for each in trails if wanted in {each["Name"], each["TrailARN"]}]
    # An organization's trail may have the name of one of ours.
    found = min(same, key=lambda each: owner_of(each["TrailARN"]) != account, default=None)
    arn = found["TrailARN"] if found else wanted
    owner = owner_of(arn)
    if owner not in {account, ""}:
        raise Trouble(
            f"trail {wanted} belongs to account {owner} (an organization's trail?) and cannot be changed from"
            f" {account}; run the command there, or give --trail NAME with a trail of this account"
        )
    if found is None:
        raise Trouble(
            f"no trail {wanted} logs in {region}; aws cloudtrail describe-trails --region {region} lists those that do"
        )
    return Trail(
        name=found["Name"],
        arn=arn,
        home=found.get("HomeRegion", region),
        log_bucket=found["S3BucketName"],
        is_ours=bool({found["Name"], arn} & set(ours)),
    )


def owner_of(arn: str) -> str:
    """The account in an ARN; empty if it is only a name."""
    return arn.split(":")[4] if arn.count(":") >= 5 else ""


def _plan(stack: Stack, trail: Trail, watched: list[str]) -> Plan:
    """Read what the trail logs now, and put our selector into it. Raises Trouble when it cannot be without loss."""
    partition = stack.settings.partition
    answer = stack.client("cloudtrail", trail.home).get_event_selectors(TrailName=trail.arn)
    basic, advanced = answer.get("EventSelectors") or [], answer.get("AdvancedEventSelectors") or []
    if not basic and not advanced:
        raise Trouble(
            f"trail {trail.name} answers with no selector at all; what it logs is unknown, so nothing is changed"
        )
    # Several stacks may share a trail of all Regions: none may replace another's selector.
    title = TEMPLATES if trail.is_ours else title_for(stack)
    buckets = tuple(name for name in watched if name != trail.log_bucket)
    mine = _selector(title, buckets, trail.log_bucket, partition)
    was = next((each for each in advanced if each.get("Name") == title), None)
    others = [each for each in advanced if each.get("Name") != title]
    converted = [new for number, each in enumerate(basic, 1) for new in _converted(number, each)]
    after = (*converted, *others, mine)
    _keep_the_limit(after, trail, len(buckets))
    return Plan(
        trail=trail,
        buckets=buckets,
        after=after,
        mine=mine,
        was=was,
        converted=len(basic),
        before=_buckets_of(was, partition),
        notes=tuple(_notes(stack, trail, watched, converted=len(basic))),
    )


def title_for(stack: Stack) -> str:
    """The name of our selector on a trail that is not the stack's own."""
    return f"Deletes on enrolled buckets ({stack.name}, {stack.settings.aws_region})"


def _selector(title: str, buckets: tuple[str, ...], log_bucket: str, partition: str) -> Selector:
    arn = f"arn:{partition}:s3:::"
    return {
        "Name": title,
        "FieldSelectors": [
            _equals("eventCategory", "Data"),
            _equals("resources.type", "AWS::S3::Object"),
            _equals("readOnly", "false"),
            _equals("eventName", "DeleteObject", "DeleteObjects"),
            {
                "Field": "resources.ARN",
                # the slash, or "one" would match "one-more" too
                "StartsWith": [f"{arn}{name}/" for name in buckets],
                # the trail's own deliveries would be logged, and those again
                "NotStartsWith": [f"{arn}{log_bucket}/"],
            },
        ],
    }


def _equals(field: str, *values: str) -> dict[str, Any]:
    return {"Field": field, "Equals": list(values)}


def _keep_the_limit(after: tuple[Selector, ...], trail: Trail, count: int) -> None:
    values = _values(after)
    if values > LIMIT:
        raise Trouble(
            f"trail {trail.name} would have {values} values with {count} buckets, and CloudTrail takes {LIMIT} in all;"
            " log every bucket (sam deploy with Trail=deletes and TrailBuckets empty), or write a selector by hand that"
            " starts with a prefix the buckets' names share"
        )


def _values(found: tuple[Selector, ...]) -> int:
    fields = [field for each in found for field in each["FieldSelectors"]]
    return sum(len(values) for field in fields for name, values in field.items() if name != "Field")


def _conditions(selector: Selector) -> dict[tuple[str, str], frozenset[str]]:
    """What it says, in whatever order CloudTrail lists it."""
    return {
        (field["Field"], name): frozenset(values)
        for field in selector["FieldSelectors"]
        for name, values in field.items()
        if name != "Field" and values
    }


def _buckets_of(selector: Selector | None, partition: str) -> tuple[str, ...]:
    named = _conditions(selector).get(("resources.ARN", "StartsWith"), frozenset()) if selector else frozenset()
    return tuple(sorted(value.removeprefix(f"arn:{partition}:s3:::").removesuffix("/") for value in named))


def _converted(number: int, basic: Selector) -> Iterator[Selector]:
    """Advanced selectors that log the same: PutEventSelectors replaces all, and a trail has one kind or the other."""
    how = basic.get("ReadWriteType", "All")
    if how not in READ_ONLY:
        raise _no_equivalent(number, f"its ReadWriteType is {how}")
    read_only = [_equals("readOnly", *READ_ONLY[how])] if READ_ONLY[how] else []
    if basic.get("IncludeManagementEvents", True):
        excluded = list(basic.get("ExcludeManagementEventSources") or [])
        if not set(excluded) <= EXCLUDABLE:
            raise _no_equivalent(number, f"it excludes management events of {', '.join(excluded)}")
        sources = [{"Field": "eventSource", "NotEquals": excluded}] if excluded else []
        fields = [_equals("eventCategory", "Management"), *read_only, *sources]
        yield {"Name": f"Basic selector {number}: management events", "FieldSelectors": fields}
    for place, source in enumerate(basic.get("DataResources") or [], 1):
        kind = source.get("Type", "")
        fields = [_equals("eventCategory", "Data"), _equals("resources.type", kind), *read_only]
        title = f"Basic selector {number}: data events {place}, {kind}"
        yield {"Name": title, "FieldSelectors": [*fields, *_resources(number, kind, source.get("Values") or [])]}


def _resources(number: int, kind: str, values: list[str]) -> list[dict[str, Any]]:
    """The condition on the resource; none where all of the kind are logged."""
    if kind in EVERY and any(_is_every(kind, value) for value in values):
        return []
    if kind == "AWS::S3::Object" and values and all("/" in value.split(":", 5)[-1] for value in values):
        return [{"Field": "resources.ARN", "StartsWith": list(values)}]
    if kind == "AWS::Lambda::Function" and values:
        return [{"Field": "resources.ARN", "Equals": list(values)}]  # "Lambda function ARNs are exact"
    # A DynamoDB table's ARN is not said to be exact or a prefix.
    raise _no_equivalent(number, f"it logs data events of {kind} {', '.join(values) or 'without naming any'}")


def _is_every(kind: str, value: str) -> bool:
    return value.startswith("arn:") and value.count(":") <= 5 and value.endswith(EVERY[kind])


def _no_equivalent(number: int, why: str) -> Trouble:
    return Trouble(
        f"basic selector {number} of the trail cannot be written as an advanced one for sure ({why}), and a trail has"
        " one kind or the other; switch the trail to advanced selectors yourself, then run the command again"
    )


def _notes(stack: Stack, trail: Trail, watched: list[str], *, converted: int) -> Iterator[str]:
    if converted:
        yield f"{converted} basic selector(s) become advanced ones that log the same: a trail has one kind or the other"
    if trail.home != stack.settings.aws_region:
        yield f"the home of trail {trail.name} is {trail.home}: it is changed there, the only place where it can be"
    if trail.log_bucket in watched:
        yield f"{trail.log_bucket} is left out: this trail's logs go there; its deletes need another trail"
    if trail.is_ours:
        parameter = _parameter([name for name in watched if name != trail.log_bucket])
        again = "the next sam deploy with another TrailBuckets writes its own selectors again"
        yield (
            f"{again}; the same as here is {parameter}"
            if parameter
            else (f"{again}, and cannot hold so many names: leave it as it is")
        )


def _parameter(buckets: list[str]) -> str | None:
    names = ",".join(buckets)
    return f"TrailBuckets={names}" if len(buckets) <= NAMES and len(names) <= CHARACTERS else None


def _document(plan: Plan, *, written: bool) -> dict[str, Any]:
    trail = plan.trail
    return {
        "trail": trail.name,
        "trail_arn": trail.arn,
        "home_region": trail.home,
        "log_bucket": trail.log_bucket,
        "buckets": plan.buckets,
        "before": plan.before,
        "logged_every_bucket": plan.logged_every_bucket,
        "added": sorted(set(plan.buckets) - set(plan.before)),
        "removed": sorted(set(plan.before) - set(plan.buckets)),
        "changes": plan.changes,
        "written": written,
        "selectors": plan.after,
        "values": _values(plan.after),
        "values_limit": LIMIT,
        "parameter": _parameter(list(plan.buckets)) if trail.is_ours else None,
        "cost": _cost(),
        "notes": plan.notes,
    }


def _show(plan: Plan, *, write: bool) -> None:
    for line in _lines(plan, write=write):
        click.echo(printable(line))
    if not write:
        click.echo(json.dumps(plan.mine, indent=2))


def _lines(plan: Plan, *, write: bool) -> Iterator[str]:
    trail, others = plan.trail, len(plan.after) - 1
    if not plan.changes:
        yield f"nothing to do: trail {trail.name} logs the deletes on {len(plan.buckets)} bucket(s) already"
    else:
        yield f"before: {_before(plan)}"
        yield from (f"added: {name}" for name in plan.buckets if name not in plan.before)
        yield from (f"removed: {name}" for name in plan.before if name not in plan.buckets)
        done = "written to" if write else "to be written with --write to"
        kept = f"{others} other selector(s) kept, {_values(plan.after)} of {LIMIT} values used"
        yield f"after: deletes on {len(plan.buckets)} bucket(s), {done} trail {trail.name}; {kept}"
        yield _cost()
    yield from (f"note: {note}" for note in plan.notes)


def _cost() -> str:
    usd = f"${of_deletes(100_000):.2f} per 100,000 deletes"
    return f"logging costs {usd} on these buckets; each key of a batch delete counts"


def _before(plan: Plan) -> str:
    if plan.was is None:
        return f"no selector of ours on trail {plan.trail.name}"
    if plan.logged_every_bucket:
        return "our selector named no bucket, so it logged every one"
    same = "" if set(plan.before) != set(plan.buckets) else ", under other conditions"
    return f"deletes on {len(plan.before)} bucket(s){same}"
