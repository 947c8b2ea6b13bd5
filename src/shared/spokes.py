"""The sweep of other accounts and Regions: a message of the spoke queue for each, settled as at home."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from shared import parse, parse_spokes, sweep, unread
from shared.aws.calling import AWS_ERRORS
from shared.evidence import Evidence, Memory
from shared.facts import GUARDRAIL, BadEvent, BucketKey, GuardrailHealth, Spoke, Trigger, TriggerKind
from shared.guardrail import Deadline, Guardrail, Settled
from shared.report import Report, logger

if TYPE_CHECKING:
    from shared.aws.spokes import Spokes

SPARE_S = 120.0
"""With less time left no further spoke is begun: ten thousand buckets are to take a minute at most."""


@dataclass(slots=True, kw_only=True)
class _Run:
    """What is gathered over one batch."""

    failed: list[str] = field(default_factory=list)
    settled: dict[BucketKey, Settled] = field(default_factory=dict)
    useless: list[tuple[str, str]] = field(default_factory=list)


def run(guard: Guardrail, event: Any, deadline: Deadline) -> Report:
    """Settle a batch of the spoke queue; or sweep home, or send what is owed, after giving every spoke its turn."""
    if guard.spokes is None:
        return sweep.run(guard, parse.sweep(event))
    if isinstance(event, Mapping) and "Records" in event:
        return settle_batch(event["Records"], guard, guard.spokes, deadline)
    asked = parse.sweep(event)
    errors = () if asked == sweep.OWED else give_turns(guard, guard.spokes)
    report = sweep.run(guard, asked)
    return replace(report, errors=(*report.errors, *errors))


def give_turns(guard: Guardrail, spokes: "Spokes") -> tuple[Exception, ...]:
    """A message for every spoke. What goes wrong is returned: home is swept all the same."""
    home = guard.settings
    try:
        away = [s for s in spokes.roster.spokes(guard.clock()) if not home.is_home(s.account, s.region)]
        turns = [parse_spokes.turn(replace(spoke, leads=spoke.region == home.aws_region)) for spoke in away]
        spokes.roster.give_turns(turns)
    except Exception as error:  # noqa: BLE001  # raised at the end of the sweep
        error.add_note("while giving the spokes their turns")
        return (error,)
    return ()


def settle_batch(records: Any, guard: Guardrail, spokes: "Spokes", deadline: Deadline) -> Report:
    """Note the hellos, sweep the spokes whose turn it is, then tell. Raises BadEvent if it is no batch.

    A spoke that could not be swept, or not in time, is reported for another delivery and does not hold up the others.
    """
    if not isinstance(records, list):
        raise BadEvent("not a batch of the spoke queue: Records is no list")
    run_ = _Run()
    for record in map(parse.mapping, records):
        try:
            _take(str(record.get("body", "")), guard, spokes, deadline, run_)
        except BadEvent as bad:
            run_.useless.append((str(record.get("body", "")), str(bad)))
        except Exception as error:  # noqa: BLE001  # delivered again, then a dead letter; must not hold up the others
            logger.error("spoke not settled", extra={"error": type(error).__name__, "reason": str(error)})
            run_.failed.append(str(record.get("messageId", "")))
    return _told(guard, run_)


def _take(body: str, guard: Guardrail, spokes: "Spokes", deadline: Deadline, run_: _Run) -> None:
    spoke, says_hello = parse_spokes.message(body, guard.clock())
    if says_hello and not spokes.roster.hear(spoke):
        return  # it is known, and has its turns
    if deadline() < SPARE_S:
        raise TimeoutError(f"no time left for {spoke.account}, {spoke.region}")
    if spoke.leads or says_hello:
        spokes.note_name(spoke)
    if errors := _swept(spoke, guard, spokes, run_):
        raise ExceptionGroup(f"{len(errors)} buckets of {spoke.account}, {spoke.region}", errors)


def _swept(spoke: Spoke, guard: Guardrail, spokes: "Spokes", run_: _Run) -> tuple[Exception, ...]:
    """Settle a spoke's buckets, and whether it answers. Returns what went wrong with single buckets."""
    place = BucketKey(account=spoke.account, region=spoke.region, name="")
    memories = guard.store.recall_all(spoke.account, spoke.region, now=guard.clock())
    errors: tuple[Exception, ...] = ()
    try:
        found = sweep.swept(guard, place, memories, with_root=spoke.leads)
        errors = found.errors
        run_.settled |= found.settled
        conditions = (spokes.heard(spoke), spokes.delivered(spoke))
    except AWS_ERRORS as error:
        # One finding says it of all its buckets; each of them keeps what was last known of it.
        conditions = (spokes.heard(spoke), spokes.unreadable(spoke, error))
    key = replace(place, name=GUARDRAIL)
    trigger = Trigger(kind=TriggerKind.SWEEP, at=guard.clock(), bucket=key)
    health = GuardrailHealth(conditions=(*conditions, *unread.conditions(memories)))

    def again(_trigger: Trigger) -> Evidence:
        return guard.weigh(trigger, guard.store.recall(key, now=guard.clock()), health)

    run_.settled[key] = guard.write(guard.weigh(trigger, memories.get(key, Memory()), health), again)
    return errors


def _told(guard: Guardrail, run_: _Run) -> Report:
    """Tell of what the batch changed; what is useless goes to the dead letters when all is told."""
    report = Report(
        transitions=tuple(transition for settled in run_.settled.values() for transition in settled.transitions),
        rejected=tuple(reason for _, reason in run_.useless),
        failed_messages=tuple(run_.failed),
    )
    now = guard.clock()
    # what is older the schedule sends that only pays, or has sent while this batch went on
    owed = [one for settled in run_.settled.values() for one in settled.owed if now - one.since <= sweep.PATIENCE]
    looked = {key: settled.looked for key, settled in run_.settled.items()}
    return guard.ends_batch(guard.tell(owed, looked, report), run_.useless)
