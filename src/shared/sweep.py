"""The scheduled pass over every enrolled bucket: what events did not tell, and what is still owed."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from shared import lifecycle
from shared.aws.calling import WORKERS
from shared.aws.store import Conflict, Owed
from shared.evidence import Evidence, Memory
from shared.facts import BucketKey, BucketState, Gone, Reading, Tags, Trigger, TriggerKind, Unreadable
from shared.guardrail import AWS_ERRORS, Guardrail, Report, Settled

PATIENCE = timedelta(minutes=2)
"""What is owed for less than this may be on its way: the function that owes it may still be running."""


def sweep(guard: Guardrail) -> Report:
    """Look at every bucket that is enrolled or was judged before; write what changed; pay what is owed.

    A bucket that could not be looked at does not hold up the others; what went wrong is in the report's `errors`.
    """
    account, region = guard.settings.account_id, guard.settings.aws_region
    enrolled = {BucketKey(account=account, region=region, name=name) for name in guard.enrolment().names()}
    memories = guard.store.recall_all(account, region, now=guard.clock())
    known = {bucket for bucket, memory in memories.items() if _is_ours(memory)}
    errors: list[Exception] = []

    def one(bucket: BucketKey) -> Settled:
        try:
            return _look_and_write(bucket, memories.get(bucket, Memory()), guard, listed=bucket in enrolled)
        except (*AWS_ERRORS, Conflict) as error:
            error.add_note(f"while looking at bucket {bucket.name}")
            errors.append(error)
            return Settled(memory=memories.get(bucket, Memory()))

    buckets = sorted(enrolled | known, key=lambda bucket: bucket.name)
    with ThreadPoolExecutor(WORKERS) as pool:
        settled = dict(zip(buckets, pool.map(one, buckets), strict=True))
    transitions = tuple(transition for one_settled in settled.values() for transition in one_settled.transitions)
    return _pay(guard, settled, Report(transitions=transitions, errors=tuple(errors)))


def _is_ours(memory: Memory) -> bool:
    """Judged before; of a deleted bucket only until its findings are closed."""
    deleted = memory.last is not None and memory.last.gone
    return any(f.is_open and not f.window for f in memory.findings) if deleted else memory.judged


def _look_and_write(bucket: BucketKey, memory: Memory, guard: Guardrail, *, listed: bool) -> Settled:
    trigger = Trigger(kind=TriggerKind.SWEEP, at=guard.clock(), bucket=bucket)
    assumed = Tags(tagged=listed, exemption=memory.last.exemption if memory.last else None)
    evidence = guard.weigh(trigger, memory, guard.buckets.versioning(bucket, assumed))
    if not listed or lifecycle.plan(evidence).changes:
        # The Tagging API is late and lists ghosts: before anything changes, the tags are read live.
        evidence = _with_live_tags(evidence, guard)
    return guard.write(evidence)


def _with_live_tags(evidence: Evidence, guard: Guardrail) -> Evidence:
    if isinstance(evidence.reading, Gone):
        return evidence
    tags = guard.buckets.tags(evidence.trigger.bucket)
    reading: Reading = evidence.reading
    if isinstance(tags, Gone):
        reading = tags
    elif isinstance(tags, Unreadable):
        # Listed as enrolled, and refused: unverifiable, never "not enrolled". Not listed: only what we knew counts.
        reading = replace(tags, tagged=evidence.reading.tagged)
    elif isinstance(reading, BucketState):
        reading = replace(reading, tagged=tags.tagged, exemption=tags.exemption)
    elif isinstance(reading, Unreadable):
        reading = replace(reading, tagged=tags.tagged)
    return guard.weigh(evidence.trigger, evidence.memory, reading)


def _pay(guard: Guardrail, settled: Mapping[BucketKey, Settled], report: Report) -> Report:
    """Send what this sweep owes and what others left unpaid, if anybody listens."""
    listens = guard.topic.has_listener()
    is_news = guard.note_listener(confirmed=listens)
    owed = guard.store.owed()
    if not listens:
        return replace(report, still_owed=len(owed))
    own = {one.sk for result in settled.values() for one in result.owed}
    now = guard.clock()
    due = [one for one in owed if one.sk in own or is_news or _is_left(one, now)]
    return guard.tell(due, {bucket: result.memory for bucket, result in settled.items()}, report)


def _is_left(owed: Owed, now: datetime) -> bool:
    return now - owed.since > PATIENCE
