"""`guardrail redrive`: give what failed for good another try, from both failure queues."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from cli.screen import printable
from cli.stack import Stack, Trouble
from shared import parse, parse_spokes, parse_watch
from shared.aws.calling import AWS_ERRORS
from shared.aws.parts import depth
from shared.evidence import WORD_OF_AN_EVENT
from shared.facts import GUARDRAIL, BadEvent, BucketKey, Trigger

WAIT_S = 2
"""Of a short poll SQS asks some of its servers only, and may say that nothing waits where a few messages do."""
HIDE_S = 300
"""How long a message is ours; what is not done by then is in the queue again."""
QUEUES = ("DeadLetterUrl", "OnFailureUrl")
ATTRIBUTES = ["reason", "ERROR_CODE", "ERROR_MESSAGE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A message of one of the two queues: the event in it, why it is there, and how to delete it."""

    queue: str
    url: str
    receipt: str
    event: Any
    why: str


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what waits there and what would be done.")
@click.option("--drop-rejected", is_flag=True, help="Delete what was rejected, or is too old, after showing it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per message.")
@click.pass_obj
def redrive(stack: Stack, dry_run: bool, drop_rejected: bool, as_json: bool) -> int:
    """Replay what failed: by invoking the function, or through the delete queue. An event counts once, however often.

    What was rejected as useless stays where it is; it would be rejected again. So does an event older than a day, whose
    word no function takes: keep it (--dry-run --json) and let `guardrail replay` judge it. A spoke's hello, or its turn
    in a sweep, is deleted: the next one has taken its place.

    Exit code: 0 nothing is left, 1 something stays behind, 3 the queues could not be read.
    """
    counts: Counter[str] = Counter()
    waiting = list(_waiting(stack))  # all of them first: what stays behind is given back while others are read
    try:
        while waiting:
            counts[_one(stack, waiting[0], dry_run=dry_run, drop=drop_rejected, as_json=as_json)] += 1
            waiting.pop(0)
    finally:  # whatever ends this: what was not done is there for the next try
        for each in waiting:
            _give_back(stack, each)
    if not counts and (hidden := sum(depth(stack.client("sqs"), stack.outputs[queue]) for queue in QUEUES)):
        raise Trouble(f"{hidden} message(s) wait there, and SQS handed out none; run it again")
    if not as_json:
        click.echo(", ".join(f"{count} {done}" for done, count in sorted(counts.items())) or "nothing waits there")
    return int(sum(counts.values()) > counts["sent"] + counts["dropped"])


def _one(stack: Stack, waiting: Waiting, *, dry_run: bool, drop: bool, as_json: bool) -> str:
    target, payload = _target(stack, waiting.event)
    try:
        done = _do(target, payload, stack, dry_run=dry_run, drop=drop)
    except AWS_ERRORS as error:
        click.echo(f"guardrail: {error}", err=True)
        done = "failed"
    if done in {"sent", "dropped"}:
        stack.client("sqs").delete_message(QueueUrl=waiting.url, ReceiptHandle=waiting.receipt)
    else:
        _give_back(stack, waiting)
    _show(waiting, target, done, as_json=as_json)
    return done


def _give_back(stack: Stack, waiting: Waiting) -> None:
    stack.client("sqs").change_message_visibility(
        QueueUrl=waiting.url, ReceiptHandle=waiting.receipt, VisibilityTimeout=0
    )


def _waiting(stack: Stack) -> Iterator[Waiting]:
    sqs = stack.client("sqs")
    for queue in QUEUES:
        url = stack.outputs[queue]
        while True:
            answer = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=WAIT_S,
                VisibilityTimeout=HIDE_S,
                MessageAttributeNames=ATTRIBUTES,
            )
            if not (messages := answer.get("Messages", [])):
                break
            for message in messages:
                said = {name: each["StringValue"] for name, each in message.get("MessageAttributes", {}).items()}
                yield _unwrapped(queue.removesuffix("Url"), url, message["ReceiptHandle"], message["Body"], said)


def _unwrapped(queue: str, url: str, receipt: str, body: str, said: Mapping[str, str]) -> Waiting:
    """The event itself: an asynchronous run that failed is wrapped by Lambda, what a rule could not deliver is not."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        event = body
    why = said.get("reason") or said.get("ERROR_MESSAGE") or "could not be settled in time"
    if isinstance(event, dict) and "requestPayload" in event:
        answer = event.get("responsePayload")
        why = str(answer.get("errorMessage", "failed")) if isinstance(answer, dict) else "failed"
        event = event["requestPayload"]
    return Waiting(queue=queue, url=url, receipt=receipt, event=event, why=why)


def _target(stack: Stack, event: Any) -> tuple[str, str]:
    """Which output of the stack takes the event, by the functions' own parsers; `rejected` if none does.

    `too old`: a function would not take its word any more, and would say nothing; `guardrail replay` judges it.
    `overtaken`: every spoke says hello again, and has its turn again in the next sweep.
    """
    payload, now = json.dumps(event), stack.guard.clock()
    own = BucketKey(account=stack.settings.account_id, region=stack.settings.aws_region, name=GUARDRAIL)
    for output, reads in (
        ("SweepFunctionName", parse.sweep),
        ("BucketChangeFunctionName", parse.bucket_change),
        ("DeleteQueueUrl", parse.version_delete),
        ("HealthFunctionName", lambda raw: parse_watch.guardrail_change(raw, own, now)),
        ("DrillFunctionName", parse.drill),
    ):
        try:
            trigger = reads(event)
        except BadEvent:
            continue
        if isinstance(trigger, Trigger) and now - trigger.at > WORD_OF_AN_EVENT:
            return "too old", payload
        if output in stack.outputs:
            return output, payload
    return "overtaken" if _is_spokes(payload, now) else "rejected", payload


def _is_spokes(payload: str, now: datetime) -> bool:
    """A hello is not replayed: it would say that the spoke was heard now."""
    try:
        parse_spokes.message(payload, now)
    except BadEvent:
        return False
    return True


def _do(target: str, payload: str, stack: Stack, *, dry_run: bool, drop: bool) -> str:
    if target in {"rejected", "too old"}:
        return "dropped" if drop and not dry_run else target
    if dry_run:
        return "overtaken" if target == "overtaken" else "waiting"
    if target == "overtaken":
        return "dropped"
    if target == "DeleteQueueUrl":
        stack.client("sqs").send_message(QueueUrl=stack.outputs[target], MessageBody=payload)
        return "sent"
    answer = stack.client("lambda").invoke(FunctionName=stack.outputs[target], Payload=payload.encode())
    return "failed" if "FunctionError" in answer else "sent"


def _show(waiting: Waiting, target: str, done: str, *, as_json: bool) -> None:
    event = waiting.event if isinstance(waiting.event, dict) else {}
    detail = event.get("detail")
    name = detail.get("eventName") if isinstance(detail, dict) else None
    row: dict[str, Any] = {"queue": waiting.queue, "event": str(name or event.get("detail-type") or "unknown")[:80]}
    row |= {"why": waiting.why[:300], "to": target.removesuffix("Name").removesuffix("Url"), "done": done}
    row |= {"payload": waiting.event}
    line = f"{row['done']:9} {row['queue']:10} {row['event']} -> {row['to']}: {row['why']}"
    click.echo(json.dumps(row) if as_json else printable(line))
