"""The scheduled pass over every enrolled bucket: what events did not tell, and what is still owed."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import batched

from shared import lifecycle, unread
from shared.aws.calling import WORKERS
from shared.aws.items import Owed
from shared.evidence import Evidence, Memory
from shared.facts import BucketKey, BucketState, Gone, Reading, Tags, Trigger, TriggerKind, Unreadable, Verdict
from shared.finding import Change, Channel, Transition
from shared.guardrail import Guardrail, Settled
from shared.report import Report
from shared.telling import PACED

PATIENCE = timedelta(minutes=2)
"""What is owed for less than this may be on its way: the function that owes it may still be running."""
IN_HAND = 512
"""Of so many buckets what was read is held at once, whatever their number."""
OWED = "owed"
"""What the schedule that only pays asks for."""


def run(guard: Guardrail, asked: str) -> Report:
    """Sweep, or only send what is owed."""
    return pay(guard, {}, Report()) if asked == OWED else sweep(guard)


def sweep(guard: Guardrail) -> Report:
    """Look at root, and at every bucket that is enrolled or was judged before; write what changed; pay what is owed.

    A bucket that could not be looked at does not hold up the others; what went wrong is in the report's `errors`.
    """
    home = BucketKey(account=guard.settings.account_id, region=guard.settings.aws_region, name="")
    started = guard.clock()
    memories = guard.store.recall_all(home.account, home.region, now=started)
    found = swept(guard, home, memories, with_root=True)
    report = Report(
        transitions=found.transitions,
        errors=found.errors,
        heartbeat="SweepDone",
        verdicts=found.verdicts,
        notes=tuple(f"state {sk} cannot be read" for sk in unread.keys(memories)),
        sweep_s=(guard.clock() - started).total_seconds(),
    )
    return pay(guard, found.settled, report)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What became of root, and of buckets that have findings; of those that are well only the number is kept."""

    settled: Mapping[BucketKey, Settled]
    transitions: tuple[Transition, ...]
    verdicts: Mapping[Verdict, int]
    errors: tuple[Exception, ...]


def swept(guard: Guardrail, place: BucketKey, memories: Mapping[BucketKey, Memory], *, with_root: bool) -> Swept:
    """Look at every bucket of an account and Region, and settle what is seen.

    place: stands for the account itself (no name). memories: what is known of it and its buckets.
    """
    enrolled = {
        replace(place, name=name): tags
        for name, tags in guard.enrolment(place).buckets()
        if name != guard.settings.canary_bucket
    }
    known = {bucket for bucket, memory in memories.items() if bucket.is_bucket and is_ours(memory)}
    errors: list[Exception] = []

    def one(bucket: BucketKey) -> Settled:
        memory = memories.get(bucket, Memory())
        try:
            if not bucket.name:
                return guard.write(look_at_root(bucket, memory, guard))
            return guard.write(look_at(bucket, memory, guard, enrolled.get(bucket)))
        except Exception as error:  # noqa: BLE001  # raised with all others at the end; must not hold them up
            error.add_note(f"while looking at {bucket.name or 'root'}")
            errors.append(error)
            return Settled(memory=memory)

    buckets = [*[place] * with_root, *sorted(enrolled.keys() | known, key=lambda bucket: bucket.name)]
    settled, transitions, verdicts = _settled(buckets, one)
    return Swept(settled=settled, transitions=tuple(transitions), verdicts=verdicts, errors=tuple(errors))


def _settled(
    buckets: Sequence[BucketKey], one: Callable[[BucketKey], Settled]
) -> tuple[dict[BucketKey, Settled], list[Transition], Counter[Verdict]]:
    settled: dict[BucketKey, Settled] = {}
    verdicts: Counter[Verdict] = Counter()
    transitions: list[Transition] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for some in batched(buckets, IN_HAND, strict=False):
            for bucket, result in zip(some, pool.map(one, some), strict=True):
                transitions += result.transitions
                verdicts.update(_verdict(result))
                if result.memory.findings or not bucket.is_bucket:
                    settled[bucket] = result
    return settled, transitions, verdicts


def _verdict(settled: Settled) -> tuple[Verdict, ...]:
    """What a bucket is, if it is enrolled. One that could not be read is unverifiable, whatever was known of it."""
    last = settled.memory.last
    if isinstance(settled.reading, Unreadable):
        return (Verdict.UNVERIFIABLE,)
    return (last.verdict,) if last and not last.gone else ()


def watched(guard: Guardrail, memories: Mapping[BucketKey, Memory]) -> list[str]:
    """Names of the buckets whose deletes must be seen: listed as enrolled, or judged before; the drill's is not."""
    listed = {name for name, _ in guard.enrolment().buckets()}
    known = {bucket.name for bucket, memory in memories.items() if bucket.is_bucket and is_ours(memory)}
    return sorted((listed | known) - {guard.settings.canary_bucket})


def is_ours(memory: Memory) -> bool:
    """Judged before; of a deleted bucket only until its findings are closed and its deeds are summed up."""
    if memory.last is None or not memory.last.gone:
        return memory.judged
    return any(f.is_open and (not f.is_deed or f.count > f.told_count) for f in memory.findings)


def look_at_root(account: BucketKey, memory: Memory, guard: Guardrail) -> Evidence:
    """Ask IAM about the account's root user."""
    trigger = Trigger(kind=TriggerKind.SWEEP, at=guard.clock(), bucket=account)
    return guard.weigh(trigger, memory, guard.root(account).read(account.account))


def look_at(
    bucket: BucketKey, memory: Memory, guard: Guardrail, listed: Tags | None, *, settles: bool = True
) -> Evidence:
    """Read a bucket as the sweep does; `listed`: what the Tagging API says of its tags, None if it does not list it.

    settles: what is seen will be written; who only shows it takes the Tagging API's word.
    """
    trigger = Trigger(kind=TriggerKind.SWEEP, at=guard.clock(), bucket=bucket)
    assumed = listed or Tags(tagged=False)
    evidence = guard.weigh(trigger, memory, guard.buckets.versioning(bucket, assumed, with_lifecycle=True))
    if listed is None or (settles and lifecycle.plan(evidence).changes):
        # The Tagging API is late and lists ghosts: before anything changes, the tags are read live.
        evidence = _with_live_tags(evidence, guard)
    return evidence


def _with_live_tags(evidence: Evidence, guard: Guardrail) -> Evidence:
    if isinstance(evidence.reading, Gone):
        return evidence
    tags = guard.buckets.tags(evidence.trigger.bucket)
    reading: Reading = evidence.reading
    if isinstance(tags, Gone):
        reading = tags
    elif isinstance(tags, Unreadable):
        # Listed as enrolled, and refused: unverifiable, never "not enrolled". Not listed: only what we knew counts.
        reading = replace(tags, tagged=isinstance(reading, BucketState | Unreadable) and reading.tagged)
    elif isinstance(reading, BucketState):
        reading = replace(reading, tagged=tags.tagged, exemption=tags.exemption)
    elif isinstance(reading, Unreadable):
        reading = replace(reading, tagged=tags.tagged)
    return guard.weigh(evidence.trigger, evidence.memory, reading)


def pay(guard: Guardrail, settled: Mapping[BucketKey, Settled], report: Report) -> Report:
    """Send what this sweep owes and what others left unpaid; mail only if anybody listens."""
    owed, left = guard.store.owed_and_unread()
    report = replace(report, errors=(*report.errors, *left))  # stays owed, as what is of an unknown control does
    if not owed and not settled:
        return report  # nothing is owed: who listens is the whole sweep's question
    listens = guard.topic.has_listener()
    is_news = guard.note_listener(confirmed=listens)
    own = {one.sk for result in settled.values() for one in result.owed}
    now = guard.clock()
    due = [one for one in owed if one.sk in own or is_news or _is_left(one, now)]
    looked = {bucket: result.looked for bucket, result in settled.items()}
    paced = PACED if listens else PACED - {Channel.MAIL}
    return guard.tell(due, looked, report, gathers=True, paced=paced, all_owed=owed)


def _is_left(owed: Owed, now: datetime) -> bool:
    """The command that acknowledges never sends: what it owes is due at once."""
    return owed.change is Change.ACKNOWLEDGED or now - owed.since > PATIENCE
