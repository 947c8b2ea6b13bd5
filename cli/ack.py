"""`guardrail ack`: somebody has seen a finding and says why it is as it is."""

import json
from datetime import UTC, datetime

import click

from cli.stack import Stack, Trouble
from shared import channels, lifecycle
from shared.aws.calling import AWS_ERRORS
from shared.aws.store import Commit, Conflict
from shared.evidence import Memory
from shared.facts import BucketKey
from shared.finding import Finding, Status, Transition
from shared.guardrail import Guardrail

ATTEMPTS = 5


@click.command()
@click.argument("finding_id", metavar="ID")
@click.option("--why", required=True, help="Why it is as it is; it is announced and kept.")
@click.option("--dry-run", is_flag=True, help="Only show what would be acknowledged.")
@click.pass_obj
def ack(stack: Stack, finding_id: str, why: str, dry_run: bool) -> None:
    """Acknowledge the finding ID (the 8 digits in its alert): a state is not reminded of any more, a deed is closed.

    The command only notes it, with your ARN, and lets the sweep announce it. Exit code: 0 noted, 3 not.
    """
    why = " ".join(why.split())[:256]
    if not why:
        raise click.BadParameter("say why, in a few words", param_hint="--why")
    announces = stack.outputs["SweepFunctionName"]
    by = str(stack.client("sts").get_caller_identity()["Arn"])
    for _ in range(ATTEMPTS):
        bucket, memory, finding = _find(stack.guard, finding_id.strip().lower())
        where = f"{finding.short_id} {finding.control} of {bucket.name or 'the root user'}"
        if not stack.guard.settings.is_home(bucket.account, bucket.region):
            where += f" in account {bucket.account}, {bucket.region}"
        if dry_run:
            return click.echo(f"would acknowledge {where}, as {by}")
        change = lifecycle.acknowledge(finding, by=by, why=why, now=datetime.now(UTC))
        try:
            _write(stack.guard, bucket, memory, change)
        except Conflict:
            continue
        click.echo(f"acknowledged {where}, as {by}; the sweep announces it")
        return _let_announce(stack, announces, by)
    raise Trouble(f"finding {finding_id} changed {ATTEMPTS} times meanwhile; run the command again")


def _let_announce(stack: Stack, function: str, by: str) -> None:
    """It is stored already; should this be refused, the next sweep announces it all the same."""
    payload = json.dumps({"sweep": f"after an acknowledgement by {by}"}).encode()
    try:
        stack.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=payload)
    except AWS_ERRORS as error:
        click.echo(f"guardrail: the sweep could not be started ({error}); the next one announces it", err=True)


def _find(guard: Guardrail, short_id: str) -> tuple[BucketKey, Memory, Finding]:
    lists = f"{guard.settings.command} status lists them"
    memories = guard.store.recall_everything(now=guard.clock())  # where there are spokes, theirs too
    found = [
        (bucket, memory, f) for bucket, memory in memories.items() for f in memory.findings if f.short_id == short_id
    ]
    if not found:
        raise Trouble(f"there is no finding {short_id} in the table of this stack; {lists}")
    if len(found) > 1:
        raise Trouble(f"{short_id} stands for {len(found)} findings, so none was acknowledged; {lists}")
    [one] = found
    if one[1].hides_last:
        raise Trouble("what is known of its bucket was written by a newer version, which alone can acknowledge it")
    if one[2].status is not Status.OPEN:
        raise Trouble(f"finding {short_id} is {one[2].status.value} already")
    return one


def _write(guard: Guardrail, bucket: BucketKey, memory: Memory, change: Transition) -> None:
    guard.store.commit(
        Commit(
            bucket=bucket,
            rev=memory.rev,
            before=memory.last,
            last=memory.last,
            watched=memory.watched,
            event_ids=(),
            transitions=channels.addressed((change,), memory, guard.settings),
            unread=memory.unread,
            now=guard.clock(),
        )
    )
