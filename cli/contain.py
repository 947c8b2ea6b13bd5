"""`guardrail contain`: refuse permanent deletes on a bucket by its policy, until the holder of root is there."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click
from botocore.exceptions import ClientError

from cli.names import key_of
from cli.readback import read_back
from cli.screen import printable
from cli.stack import Stack, Trouble
from shared.aws.calling import AWS_ERRORS, code, is_refused, message
from shared.containment import CONTAINMENT, containment, limits_of_containment
from shared.facts import BucketKey, BucketState, Lifecycle, Reading, Tags, Unreadable, Versioning
from shared.quoting import quoted

LIMIT = 20 * 1024
"""Bytes of a bucket policy (S3 user guide, "Bucket policies")."""
VERSION = "2012-10-17"

type Policy = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the bucket's policy is and would be: texts, None for no policy."""

    bucket: BucketKey
    before: str | None
    after: str | None
    changes: bool


@click.command()
@click.argument("bucket")
@click.option("--undo", is_flag=True, help="Take exactly that statement out again.")
@click.option("--dry-run", is_flag=True, help="Only show the policy that would be written.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def contain(stack: Stack, bucket: str, undo: bool, dry_run: bool, as_json: bool) -> int:
    """Refuse permanent deletes on BUCKET to everybody, by a statement in its policy; needs no root.

    Exit code: 0 done, nothing to do, or a dry run; 3 refused, and the policy is as it was unless it says otherwise.
    """
    key = key_of(stack, bucket)
    statement = containment(key.name, stack.settings.partition)
    s3 = stack.client("s3")
    plan = _plan(key, _read(s3, key), statement, undo=undo)
    if plan.changes and not dry_run:
        _write(s3, plan)
    reading = _reading(stack, key)
    written = plan.changes and not dry_run
    if as_json:
        policy = json.loads(plan.after) if plan.after else None
        document = {"bucket": key.name, "undo": undo, "changes": plan.changes, "written": written, "policy": policy}
        click.echo(json.dumps(document | {"limits": [] if undo else list(_limits(stack, key, reading))}))
    else:
        for line in _lines(stack, plan, reading, undo=undo, dry_run=dry_run):
            click.echo(printable(line))
    return 0


def has_statement(stack: Stack, bucket: BucketKey) -> bool:
    """Whether the bucket's policy has exactly the statement that this verb adds. Raises ClientError when refused."""
    try:
        text = stack.client("s3").get_bucket_policy(Bucket=bucket.name, ExpectedBucketOwner=bucket.account)["Policy"]
    except ClientError as error:
        if code(error) in {"NoSuchBucketPolicy", "NoSuchBucket"}:
            return False
        raise
    ours = _meaning(containment(bucket.name, stack.settings.partition))
    return any(_meaning(each) == ours for each in _parsed(bucket, str(text))["Statement"])


def _reading(stack: Stack, bucket: BucketKey) -> Reading | None:
    """For the limits only: what is done must not end in an error for their sake. None: it could not be read."""
    try:
        return stack.guard.buckets.versioning(bucket, Tags(tagged=True), with_lifecycle=True)
    except AWS_ERRORS:
        return None


def _plan(bucket: BucketKey, before: str | None, statement: Policy, *, undo: bool) -> Plan:
    """Raises Trouble when it cannot be merged without losing something."""
    policy = _parsed(bucket, before)
    statements = policy["Statement"]
    named = [each for each in statements if each.get("Sid") == CONTAINMENT]
    ours = [each for each in named if _meaning(each) == _meaning(statement)]
    if named and not ours:
        raise Trouble(
            f"the policy of {bucket.name} has a statement {CONTAINMENT} already that says something else; look at it,"
            " and take it out or rename it by hand"
        )
    if bool(ours) is not undo:
        return Plan(bucket=bucket, before=before, after=before, changes=False)
    left = [each for each in statements if each not in ours]
    wanted = left if undo else [*statements, statement]
    after = _text({**policy, "Statement": wanted}) if wanted else None
    if after and (size := len(after.encode())) > LIMIT:
        raise Trouble(f"the policy of {bucket.name} would have {size} bytes with the statement, and S3 takes {LIMIT}")
    return Plan(bucket=bucket, before=before, after=after, changes=True)


def _parsed(bucket: BucketKey, text: str | None) -> dict[str, Any]:
    """The policy, its statements a list. A member that stands there twice would be lost: that is refused too."""
    if text is None:
        return {"Version": VERSION, "Statement": []}
    try:
        policy = json.loads(text, object_pairs_hook=_members)
        statements = _listed(policy["Statement"])
        if not all(isinstance(each, dict) for each in statements):
            raise TypeError("a statement is no object")
    except (ValueError, KeyError, TypeError, RecursionError) as wrong:
        why = f"{type(wrong).__name__}: {wrong}"
        raise Trouble(f"the policy of {bucket.name} cannot be read ({why}); nothing was changed") from wrong
    return {**policy, "Statement": statements}


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a member stands there twice")
    return found


def _text(policy: Policy) -> str:
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def _meaning(statement: Policy) -> Any:
    """The same for what S3, or somebody's editor, wrote otherwise."""
    principal = {"AWS": "*"} if statement.get("Principal") == "*" else statement.get("Principal")
    lists = {name: sorted(map(str, _listed(statement.get(name)))) for name in ("Action", "Resource")}
    return {**statement, "Principal": principal, **lists}


def _listed(value: Any) -> list[Any]:
    """A policy may write one value without a list."""
    return value if isinstance(value, list) else [value]


def _read(s3: Any, bucket: BucketKey) -> str | None:
    try:
        return str(s3.get_bucket_policy(Bucket=bucket.name, ExpectedBucketOwner=bucket.account)["Policy"])
    except ClientError as error:
        if code(error) == "NoSuchBucketPolicy":
            return None
        raise _said(error, bucket, "s3:GetBucketPolicy") from error


def _write(s3: Any, plan: Plan) -> None:
    """S3 knows no condition on a write: so look again right before it, and right after it."""
    bucket = plan.bucket
    if _read(s3, bucket) != plan.before:
        raise Trouble(f"somebody changed the policy of {bucket.name} meanwhile; nothing was written: run it again")
    where: dict[str, Any] = {"Bucket": bucket.name, "ExpectedBucketOwner": bucket.account}
    try:
        if plan.after is None:
            s3.delete_bucket_policy(**where)
        else:
            s3.put_bucket_policy(**where, Policy=plan.after)
    except ClientError as error:
        action = "s3:DeleteBucketPolicy" if plan.after is None else "s3:PutBucketPolicy"
        raise _said(error, bucket, action) from error
    found = read_back(lambda: _read(s3, bucket), lambda text: _same(bucket, text, plan.after))
    if not _same(bucket, found, plan.after):
        raise Trouble(
            f"the policy of {bucket.name} was written, but reads otherwise: did somebody else write at the same time?"
            f" Look at it (aws s3api get-bucket-policy --bucket {bucket.name}), then run it again"
        )


def _same(bucket: BucketKey, one: str | None, other: str | None) -> bool:
    """Whether two policies say the same in the same order; S3 may write blanks otherwise."""
    if one is None or other is None:
        return one is other
    first, second = _parsed(bucket, one), _parsed(bucket, other)
    statements = [[_meaning(each) for each in policy.pop("Statement")] for policy in (first, second)]
    return first == second and statements[0] == statements[1]


def _said(error: ClientError, bucket: BucketKey, action: str) -> Trouble:
    """An answer of S3 as one sentence."""
    if code(error) == "NoSuchBucket":
        return Trouble(f"there is no bucket {bucket.name}")
    if is_refused(error) or code(error) == "MethodNotAllowed":
        why = "by your own permissions, a policy, or because it is not a bucket of this account"
        return Trouble(f"{action} on {bucket.name} is refused ({code(error)}), {why}; the policy is as it was")
    if code(error) == "MalformedPolicy":
        why = "a principal that was deleted is the usual reason; mend the policy first"
        return Trouble(f"S3 does not take the policy of {bucket.name} back as it is ({message(error)}): {why}")
    return Trouble(str(error))


def _lines(stack: Stack, plan: Plan, reading: Reading | None, *, undo: bool, dry_run: bool) -> Iterator[str]:
    name = plan.bucket.name
    if not plan.changes:
        yield f"nothing to do: the policy of {name} has {'no' if undo else 'the'} statement {CONTAINMENT} already"
    elif dry_run:
        what = "out of" if undo else "into"
        yield f"the statement {CONTAINMENT} would go {what} the policy of {name}, which would be:"
        yield plan.after or "(no policy: nothing else is in it)"
    elif undo:
        left = "; nothing was left of the policy, so it is gone" if plan.after is None else ""
        yield f"undone: the statement {CONTAINMENT} is out of the policy of {name}{left}"
    else:
        yield f"contained: permanent deletes on {name} are refused to everybody by the statement {CONTAINMENT}"
    if not undo:
        yield from _limits(stack, plan.bucket, reading)
        yield f"Undo: {stack.settings.command} contain {name} --undo"


def _limits(stack: Stack, bucket: BucketKey, reading: Reading | None) -> Iterator[str]:
    """What it does not stop, on this very bucket."""
    state = reading if isinstance(reading, BucketState) else None
    yield limits_of_containment(versioning_on=state is not None and state.versioning is Versioning.ENABLED)
    yield "Root of the account, and whoever else may write the policy, can take the statement out."
    lifecycle = state.lifecycle if state else reading
    if isinstance(lifecycle, Unreadable):
        yield f"Whether a lifecycle rule deletes versions there is not known: {lifecycle.action} is refused."
    if isinstance(lifecycle, Lifecycle) and lifecycle.expiries:
        rules = ", ".join(quoted(each.rule) for each in lifecycle.expiries)
        page = f"{stack.settings.command} runbook {bucket.name} --section remove-the-lifecycle-rule"
        yield f"Still deleting versions: lifecycle rules {rules}. {page}"
    if reading is None:
        yield "Whether versioning is on there, and a lifecycle rule deletes versions, could not be read."
