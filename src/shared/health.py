"""The look at the guardrail itself: what events and its own clock bring, settled like a bucket's findings."""

from dataclasses import replace
from datetime import datetime, timedelta
from urllib.request import Request, urlopen

from shared import overdue, parse_watch, sweep, unread
from shared.aws import health
from shared.aws.calling import client
from shared.evidence import Evidence, Memory
from shared.facts import GUARDRAIL, BucketKey, Condition, GuardrailHealth, LastLook, Trigger, TriggerKind
from shared.finding import Status
from shared.guardrail import Guardrail
from shared.parse import Event
from shared.report import Report
from shared.states import STATE_UNVERIFIABLE

HEARTBEAT_LIMIT_S = 5
FRESH = timedelta(seconds=10)
LOUD = "loud"
"""What a drill asks for that is to be heard: a marked message down every channel, and nothing else."""


def run(guard: Guardrail, event: Event) -> Report:
    """Look because of a call on one of our parts, or because it is time; on time, pay what others left owed, too."""
    if isinstance(event, dict) and event.get("health") == LOUD:
        guard.teller.drill()
        return Report(sent=1)
    own = BucketKey(account=guard.settings.account_id, region=guard.settings.aws_region, name=GUARDRAIL)
    trigger = parse_watch.guardrail_change(event, own, guard.clock())
    evidence = look(guard, trigger)
    is_by_clock = trigger.kind is TriggerKind.SWEEP
    report = guard.settle(evidence, lambda _again: _anew(guard, evidence), gathers=is_by_clock)
    report = replace(report, heartbeat="HealthLooked")
    if is_by_clock:
        paid = sweep.pay(guard, {}, replace(report, sent=0))
        report = replace(paid, sent=report.sent + paid.sent)
    if not report.errors and is_well(evidence):
        report = replace(report, notes=beat(guard.settings.heartbeat_url))
    return report


def is_well(e: Evidence) -> bool:
    """Nothing is wrong, and nothing could not be looked at, but for what somebody acknowledged that nobody can see."""
    if not isinstance(e.reading, GuardrailHealth) or e.reading.troubles:
        return False
    known = (f for f in e.memory.findings if f.control == STATE_UNVERIFIABLE.id and f.status is Status.ACKNOWLEDGED)
    accepted = {condition.meaning for finding in known for condition in finding.conditions}
    return {condition.meaning for condition in e.reading.unknown} <= accepted


def look(guard: Guardrail, trigger: Trigger) -> Evidence:
    """Remember, then read live, as for a bucket."""
    settings = guard.settings
    memories = guard.store.recall_all(settings.account_id, settings.aws_region, now=guard.clock())
    enrolled = sweep.watched(guard, memories)
    now = guard.clock()
    reading = health.read(settings, client, enrolled, now)
    guard.notes.note_look(LastLook(at=now, canary_logged=reading.canary_logged))
    if reading.unlogged is not None:
        guard.note_unlogged(reading.unlogged)
    further = (*_drilled(guard, now), *unread.conditions(memories))
    reading = replace(reading, conditions=(*reading.conditions, *further))
    return guard.weigh(trigger, memories.get(trigger.bucket, Memory()), reading)


def _anew(guard: Guardrail, seen: Evidence) -> Evidence:
    """Remember again, after another look was faster; many calls come at once, and what was read is seconds old."""
    if guard.clock() - seen.now > FRESH:
        return look(guard, seen.trigger)
    memory = guard.store.recall(seen.trigger.bucket, now=guard.clock())
    return guard.weigh(seen.trigger, memory, seen.reading)


def _drilled(guard: Guardrail, now: datetime) -> tuple[Condition, ...]:
    """What the last drill says; where its calls may have got stuck is looked for only when one is late."""
    if not guard.settings.canary_bucket:
        return ()
    last = guard.notes.drill()
    is_late = last is not None and bool(last.missing) and now - last.at > overdue.LIMIT
    waiting = health.waiting(guard.settings, client) if is_late else ()
    return tuple(overdue.conditions(last, guard.settings, now, waiting))


def beat(url: str) -> tuple[str, ...]:
    """One message to the dead man's switch outside. It will notice when none comes: what went wrong is only noted.

    The address is as good as a password and is not repeated.
    """
    if not url:
        return ()
    request = Request(url, method="POST", data=b"")  # noqa: S310  # https, by the parameter's pattern in template.yaml
    try:
        with urlopen(request, timeout=HEARTBEAT_LIMIT_S):  # noqa: S310  # as above
            return ()
    except (OSError, ValueError) as error:
        return (f"the heartbeat URL could not be reached: {type(error).__name__}",)
