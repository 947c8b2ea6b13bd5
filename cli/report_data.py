"""What a report says, as one JSON document: live reads and findings, or history alone for a moment that is past."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from cli import doctor
from cli.report_spans import Gap, Span, Standing, blind_gaps, open_at, spans, standing_at
from cli.stack import Stack
from cli.status import WORST_FIRST, Survey, survey
from shared import render, runbook
from shared.aws.history import History, Past
from shared.aws.items import KEEP_CLOSED
from shared.controls import BY_ID, CONTROLS
from shared.evidence import Memory
from shared.facts import GUARDRAIL, BucketKey, BucketState, Condition, Lifecycle, State, Unreadable
from shared.finding import Change, Finding, Severity, Told
from shared.quoting import cut
from shared.wording import sentence

SCHEMA = "mfa-delete-guardrail/report/1"
HISTORY = "history"
LIMIT = 300
"""Characters of one value that others chose."""
RUNBOOKS = 100
"""So many findings, the worst, have their runbook in the file; the others name one of these that has the same."""
NOBODY_SAW = (Standing.NOT_OBSERVED, Standing.NOT_ENROLLED, Standing.DELETED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The time that the report tells of, the moment whose state it tells (`at`; None: now), and when it is made."""

    since: datetime
    until: datetime
    at: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that was read."""

    survey: Survey
    past: Mapping[BucketKey, Sequence[Past]]
    gaps: Sequence[Gap]
    kept_since: datetime

    @property
    def memories(self) -> Mapping[BucketKey, Memory]:
        """What is remembered, by bucket."""
        return self.survey.memories

    def spans(self, bucket: BucketKey, asked: Asked) -> tuple[Span, ...]:
        """How a bucket stood in the time asked for."""
        memory = self.memories.get(bucket, Memory())
        known = {finding.id: finding for finding in memory.findings}
        return spans(
            self.past.get(bucket, ()),
            memory.last,
            known,
            since=asked.since,
            until=asked.until,
            kept_since=self.kept_since,
            gaps=self.gaps,
        )


def document(stack: Stack, asked: Asked) -> dict[str, Any]:
    """The whole report. Raises Trouble when nothing is deployed."""
    version, settings = stack.outputs.get("Version", ""), stack.settings
    known = _read(stack, asked)
    buckets = _buckets(known, asked)
    findings = _findings(stack, known, asked)
    return {
        "schema": SCHEMA,
        "made": {
            "at": asked.now.isoformat(),
            "by": str(stack.client("sts").get_caller_identity()["Arn"]),
            "version": version or settings.version,
            "stack": stack.name,
            "account": settings.account_id,
            "account_name": settings.account_name or None,
            "region": settings.aws_region,
            "tag": f"{settings.protect_tag_key}={settings.protect_tag_value}",
        },
        "span": {
            "since": asked.since.isoformat(),
            "until": asked.until.isoformat(),
            "at": asked.at.isoformat() if asked.at else None,
            "kept_since": known.kept_since.isoformat(),
        },
        "population": _population(known, buckets, asked),
        "nearly_enrolled": known.survey.document["nearly_enrolled"] if asked.at is None else {},
        "guardrail": {
            "conditions": [asdict(each) for each in (*doctor.conditions(stack), *_unread(known))],
            "gaps": [_gap(each) for each in known.gaps if each.start < asked.until and each.end > asked.since],
        },
        "buckets": buckets,
        "findings": findings,
        "controls": _controls(findings),
        "not_read": _not_read(known, asked),
    }


def _not_read(known: Known, asked: Asked) -> list[str]:
    """What `guardrail status` could not tell either: items by their sort key; root, whom history leaves out."""
    root = known.survey.document["root"]
    refused = "unverifiable" in root and asked.at is None
    return [*known.survey.document["unread"], *[f"root: {root.get('unverifiable')}"] * refused]


def _unread(known: Known) -> list[Condition]:
    """History that a newer version wrote, or that is damaged: then nobody knows what it said."""
    number = sum(each.unread for past in known.past.values() for each in past)
    meaning = f"{number} entries of the history cannot be read by this version: they are left out"
    condition = Condition(
        about=HISTORY, state=State.UNKNOWN, meaning=meaning, mend="report with the version that wrote them"
    )
    return [condition] * bool(number)


def _gap(gap: Gap) -> dict[str, str]:
    return {"start": gap.start.isoformat(), "end": gap.end.isoformat(), "why": gap.why}


def exit_code(said: Mapping[str, Any]) -> int:
    """0 all is well, 1 something is not, 3 some could not be told."""
    population, conditions = said["population"], said["guardrail"]["conditions"]
    untold = population["unverifiable"] or population["not_observed"] or said["not_read"]
    if untold or any(each["about"] == HISTORY for each in conditions):
        return 3
    is_bad = said["span"]["at"] is None and any(each["state"] == "bad" for each in conditions)
    return int(bool(population["unprotected"] or population["suspended"] or is_bad))


def _read(stack: Stack, asked: Asked) -> Known:
    guard, settings = stack.guard, stack.settings
    found = survey(stack)
    past = defaultdict(list)
    for each in History(settings.table_name, guard.store).read(
        settings.account_id, settings.aws_region, until=asked.now
    ):
        past[each.bucket].append(each)
    own = BucketKey(account=settings.account_id, region=settings.aws_region, name=GUARDRAIL)
    known = {finding.id: finding for finding in found.memories.get(own, Memory()).findings}
    look = guard.notes.look()
    gaps = blind_gaps(past.get(own, ()), known, last_look=look.at if look else None, stale=doctor.STALE, now=asked.now)
    kept_since = asked.now - timedelta(days=settings.history_days)
    return Known(survey=found, past=dict(past), gaps=gaps, kept_since=kept_since)


def _buckets(known: Known, asked: Asked) -> list[dict[str, Any]]:
    """Every bucket that is judged now, or was in the time asked for; the worst first."""
    live = {each.bucket: each for each in known.survey.judged} if asked.at is None else {}
    remembered = {bucket for bucket, memory in known.memories.items() if memory.last is not None}
    entries = []
    for bucket in sorted(live.keys() | remembered | known.past.keys(), key=lambda each: each.name):
        found = known.spans(bucket, asked)
        if not bucket.is_bucket or not (bucket in live or any(one.standing not in NOBODY_SAW for one in found)):
            continue
        verdict = live[bucket].evidence.verdict if bucket in live else None
        entries.append(_bucket(bucket, found, Standing(verdict.value) if verdict else None, asked))
    order = [*(verdict.value for verdict in WORST_FIRST[:3]), "not observed", "exempt", "protected"]
    rank = {standing: place for place, standing in enumerate(order)}
    return sorted(entries, key=lambda each: (rank.get(each["standing"], len(rank)), each["name"]))


def _bucket(bucket: BucketKey, found: Sequence[Span], live: Standing | None, asked: Asked) -> dict[str, Any]:
    stood = standing_at(found, asked.at or asked.until)
    standing = live or (stood.standing if stood else Standing.NOT_OBSERVED)
    is_same = stood is not None and stood.standing is standing
    seen = [one for one in found if one.standing not in NOBODY_SAW]
    total = sum((one.end - one.start for one in seen), timedelta())
    good = sum((one.end - one.start for one in seen if one.standing is Standing.PROTECTED), timedelta())
    return {
        "name": bucket.name,
        "standing": standing.value,
        "since": stood.start.isoformat() if stood and is_same else None,
        "protected_percent": round(100 * (good / total), 1) if total else None,
        "spans": [_span(one) for one in found],
    }


def _span(one: Span) -> dict[str, Any]:
    return {
        "standing": one.standing.value,
        "start": one.start.isoformat(),
        "end": one.end.isoformat(),
        "by": cut(one.by.id, LIMIT) if one.by else None,
        "session": cut(one.by.session, LIMIT) if one.by and one.by.session else None,
        "event_ids": list(one.event_ids[:3]),
        "why": cut(one.why, LIMIT) or None,
    }


def _population(known: Known, buckets: Sequence[Mapping[str, Any]], asked: Asked) -> dict[str, int | None]:
    """Now, from live reads; for a moment that is past, from history, which knows enrolled buckets only."""
    if asked.at is None:
        counted = dict(known.survey.document["population"])
        return {**counted, "not_observed": 0}
    counts = Counter(each["standing"] for each in buckets)
    gone = counts[Standing.NOT_ENROLLED.value] + counts[Standing.DELETED.value]
    return {
        "buckets": None,
        "enrolled": len(buckets) - gone,
        **{verdict.value: counts[verdict.value] for verdict in WORST_FIRST},
        "not_enrolled": None,
        "not_observed": counts[Standing.NOT_OBSERVED.value],
    }


def _findings(stack: Stack, known: Known, asked: Asked) -> list[dict[str, Any]]:
    """What is open, the worst first; with runbooks only where something can be done still, which is now."""
    if asked.at is None:
        found = [f for memory in known.memories.values() for f in memory.findings if f.is_open]
    else:
        found = [f for past in known.past.values() for f in open_at(past, asked.at, KEEP_CLOSED)]
    order = list(Severity)
    found.sort(key=lambda f: (order.index(f.severity), f.detected_at, f.id))
    entries = [_finding(stack, finding) for finding in found]
    shown: dict[str, str] = {}
    for number, (finding, entry) in enumerate(zip(found, entries, strict=True)):
        heading = BY_ID[finding.control].runbook
        if asked.at is None and (number < RUNBOOKS or heading not in shown):
            entry["runbook"] = _page(stack, known, finding)
            shown.setdefault(heading, finding.short_id)
        elif asked.at is None:
            entry["runbook_like"] = shown[heading]
    return entries


def _finding(stack: Stack, f: Finding) -> dict[str, Any]:
    control = BY_ID[f.control]
    return {
        "id": f.short_id,
        "control": f.control,
        "title": control.title,
        "said": cut(sentence(f, stack.settings), 4 * LIMIT),
        "severity": f.severity.value,
        "status": f.status.value,
        "bucket": f.bucket.name if f.bucket.is_bucket else None,
        "about": f.bucket.name if f.bucket.is_bucket else "the guardrail itself" if f.bucket.name else "the root user",
        "at": f.at.isoformat(),
        "detected_at": f.detected_at.isoformat(),
        "principal": cut(f.principal.id, LIMIT) if f.principal else None,
        "session": cut(f.principal.session, LIMIT) if f.principal and f.principal.session else None,
        "source_ip": f.source_ip or None,
        "user_agent": cut(f.user_agent, LIMIT) or None,
        "error_message": cut(f.error_message, LIMIT) or None,
        "detail": cut(f.detail, LIMIT) or None,
        "conditions": [cut(each.meaning, LIMIT) for each in f.conditions],
        "objects": [{"key": cut(o.key, LIMIT), "version_id": cut(o.version_id, LIMIT)} for o in f.objects],
        "count": f.count,
        "acknowledged_by": f.acknowledged_by or None,
        "why": cut(f.why, LIMIT) or None,
        "refs": list(control.refs),
        "runbook": None,
        "runbook_like": None,
    }


def _page(stack: Stack, known: Known, finding: Finding) -> str:
    """The runbook for the finding's own bucket, with what stands in its way, as it was just read."""
    readings = {each.bucket: each.evidence.reading for each in known.survey.judged}
    reading = readings.get(finding.bucket)
    found = reading.lifecycle if isinstance(reading, BucketState) else reading
    obstacles = runbook.obstacle(finding.bucket, found if isinstance(found, Lifecycle | Unreadable) else None)
    return render.runbook_page(Told(finding=finding, change=Change.OPENED, obstacles=obstacles), stack.settings)


def _controls(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    counts = Counter(each["control"] for each in findings)
    return [
        {"id": control.id, "title": control.title, "refs": list(control.refs), "open": counts[control.id]}
        for control in CONTROLS
    ]
