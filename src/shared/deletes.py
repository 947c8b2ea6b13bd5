"""Version deletes come by the thousand: an SQS batch is grouped, each bucket read once, each group settled once."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from shared import parse
from shared.aws.calling import WORKERS
from shared.aws.items import Owed
from shared.aws.places import Claim
from shared.aws.store import EVENTS_AT_ONCE, Known
from shared.deeds import PROOF_PREFIX
from shared.evidence import Evidence
from shared.facts import BadEvent, BucketKey, Outcome, Trigger
from shared.finding import OBJECTS_KEPT, Transition
from shared.guardrail import Deadline, Guardrail, Settled, lags
from shared.judgement import window
from shared.report import Report, logger

SPARE_S = 75.0
"""With less time left no further group is begun: what is settled has to be told of, a minute from now (pace.AHEAD)."""

type Message = tuple[str, Trigger]


@dataclass(slots=True, kw_only=True)
class _Run:
    """What is gathered over one batch."""

    ignored: int = 0
    duplicates: int = 0
    failed: list[str] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    lags_s: list[float] = field(default_factory=list)
    drill_lags_s: list[float] = field(default_factory=list)
    owed: dict[str, Owed] = field(default_factory=dict)
    settled: dict[BucketKey, Settled] = field(default_factory=dict)
    looks: dict[BucketKey, Evidence | None] = field(default_factory=dict)
    claim: Claim | None = None


def settle_batch(event: Any, guard: Guardrail, deadline: Deadline) -> Report:
    """Settle a batch of the delete queue. Raises BadEvent if it is none.

    A message that is no version delete goes to the dead letters with its reason; one whose group could not be settled,
    or not in time, is reported for another delivery.
    """
    run = _Run()
    messages, useless = _sorted_out(event, run)
    groups = list(_groups(_joined(messages, run), guard.rules.window).values())
    _look_ahead([group[0][1] for group in groups], guard, run)
    parts = [part for group in groups for part in _parts(group)]
    for part in parts:
        if deadline() < SPARE_S:
            run.failed += [message_id for message_id, _ in part]
        else:
            _settle_group(part, guard, run, claims=len(parts) == 1)
    report = Report(
        transitions=tuple(run.transitions),
        lags_s=tuple(run.lags_s),
        drill_lags_s=tuple(run.drill_lags_s),
        duplicates=run.duplicates,
        ignored=run.ignored,
        rejected=tuple(reason for _, reason in useless),
        failed_messages=tuple(run.failed),
    )
    looked = {bucket: one.looked for bucket, one in run.settled.items()}
    return guard.ends_batch(guard.tell(_as_of_now(run), looked, report, claim=run.claim), useless)


def _as_of_now(run: _Run) -> list[Owed]:
    """What is owed, with the findings as the whole batch left them: a later part of a group counted on."""
    latest = {f.id: f for settled in run.settled.values() for f in settled.memory.findings}
    return [replace(owed, finding=latest.get(owed.finding.id, owed.finding)) for owed in run.owed.values()]


def _sorted_out(event: Any, run: _Run) -> tuple[list[Message], list[tuple[str, str]]]:
    """The triggers with their message ids, and the bodies that are useless with their reasons."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list):
        raise BadEvent("not a batch of the delete queue: Records is missing")
    messages: list[Message] = []
    useless: list[tuple[str, str]] = []
    for record in records:
        message = record if isinstance(record, Mapping) else {}
        body = str(message.get("body", ""))
        try:
            trigger = parse.version_delete(parse.loaded(body))
        except BadEvent as bad:
            useless.append((body, str(bad)))
            continue
        if trigger.outcome is Outcome.FAILED:
            run.ignored += 1  # neither refused nor done (SlowDown, NoSuchBucket, ...): nothing happened
        else:
            messages.append((str(message.get("messageId", "")), trigger))
    return messages, useless


def _look_ahead(triggers: list[Trigger], guard: Guardrail, run: _Run) -> None:
    """Look at all buckets of the batch at once; one that cannot be looked at fails when its group's turn comes.

    One alone is looked at then, too: threads that have nothing to share cost more than they bring.
    """

    def look(trigger: Trigger) -> Evidence | None:
        try:
            return guard.look(trigger)
        except Exception:  # noqa: BLE001  # it comes again, and is told, when its group's turn comes
            return None

    first = {trigger.bucket: trigger for trigger in reversed(triggers)}
    if len(first) < 2:
        return
    with ThreadPoolExecutor(WORKERS) as pool:
        run.looks = dict(zip(first, pool.map(look, first.values()), strict=True))


def _joined(messages: list[Message], run: _Run) -> list[Message]:
    """Drop S3's own event of a delete where CloudTrail's record of the same request, which says who, came with it."""
    named = {_delete(trigger) for _, trigger in messages if _is_named(trigger)}
    joined = [(message_id, t) for message_id, t in messages if _is_named(t) or _delete(t) not in named]
    run.duplicates += len(messages) - len(joined)
    return joined


def _is_named(trigger: Trigger) -> bool:
    return trigger.principal is None or trigger.principal.is_named


def _delete(trigger: Trigger) -> tuple[object, ...]:
    return (trigger.request_id, *trigger.objects)


def _groups(messages: list[Message], length: timedelta) -> dict[tuple[object, ...], list[Message]]:
    groups: dict[tuple[object, ...], list[Message]] = {}
    for message in messages:
        trigger = message[1]
        who = trigger.principal.id if trigger.principal else ""
        # The runbook's proof, restores, and batches that name nothing are told apart; the rest is one deed in a window.
        names = {"proof" if version.key.startswith(PROOF_PREFIX) else "other" for version in trigger.objects}
        at = window(trigger.at, length)
        key = (trigger.bucket, who, at, trigger.outcome, trigger.cause, trigger.restores, *sorted(names))
        groups.setdefault(key, []).append(message)
    return groups


def _parts(group: list[Message]) -> Iterator[list[Message]]:
    """As many of a group as go into one transaction."""
    at_once = EVENTS_AT_ONCE // (2 if group[0][1].own_ids else 1)
    return (group[start : start + at_once] for start in range(0, len(group), at_once))


def _settle_group(group: list[Message], guard: Guardrail, run: _Run, *, claims: bool) -> None:
    trigger = _merged(group)
    try:
        settled = _write(trigger, guard, run, claims=claims)
    except Known as known:
        rest = [_joining(message, known) for message in group if message[1].event_ids[0] not in known.event_ids]
        run.duplicates += len(group) - len(rest)
        return _settle_group(rest, guard, run, claims=claims) if rest else None
    except Exception as error:  # noqa: BLE001  # delivered again, then a dead letter; must not hold up the others
        logger.error("group not settled", extra={"bucket": trigger.bucket.name, "error": type(error).__name__})
        run.failed += [message_id for message_id, _ in group]
        return None
    run.duplicates += settled.duplicates + len(group) - len(trigger.event_ids)
    run.transitions += settled.transitions
    run.lags_s += lags(trigger, settled.transitions)
    run.drill_lags_s += settled.drill_lags_s
    run.owed.update({owed.sk: owed for owed in settled.owed})
    run.settled[trigger.bucket] = settled
    run.claim = settled.claim
    return None


def _joining(message: Message, known: Known) -> Message:
    """S3's own event told of this delete before: now it is known who did it, and it must not count twice."""
    message_id, trigger = message
    is_news = set(trigger.own_ids).isdisjoint(known.own_ids)
    return message if is_news else (message_id, replace(trigger, own_ids=(), joins=1))


def _write(trigger: Trigger, guard: Guardrail, run: _Run, *, claims: bool) -> Settled:
    """Read the bucket from S3 once per batch, unless somebody else settled it since."""
    known = run.settled.get(trigger.bucket)
    if known is not None and known.reading is not None:
        return guard.write(guard.weigh(trigger, known.memory, known.reading), claims=claims)
    seen = run.looks.get(trigger.bucket)
    evidence = guard.weigh(trigger, seen.memory, seen.reading) if seen else guard.look(trigger)
    return guard.write(evidence, claims=claims)


def _merged(group: list[Message]) -> Trigger:
    """One trigger for the group: the first one's, with all ids, the count, and the first few versions."""
    unique = list({trigger.event_ids[0]: trigger for _, trigger in group}.values())
    objects = [version for trigger in unique for version in trigger.objects]
    return replace(
        min(unique, key=lambda trigger: trigger.at),
        event_ids=tuple(trigger.event_ids[0] for trigger in unique),
        last_at=max(trigger.at for trigger in unique),
        objects=tuple(dict.fromkeys(objects))[:OBJECTS_KEPT],
        count=len(unique),
        own_ids=tuple(dict.fromkeys(own for trigger in unique for own in trigger.own_ids)),
        joins=sum(trigger.joins for trigger in unique),
    )
