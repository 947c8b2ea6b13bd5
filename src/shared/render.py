"""Findings -> alerts: the one place where the text of a message is made, for people and for programs."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared import quoting, runbook
from shared.controls import BY_ID
from shared.deeds import VERSION_DELETE_DENIED, VERSION_DELETED
from shared.facts import GUARDRAIL, Cause, Outcome
from shared.finding import ROUTINE, Alert, Change, Finding, Severity, Told
from shared.pace import SINGLES_A_RUN, SINGLES_AN_HOUR
from shared.settings import Settings
from shared.states import STATE_UNVERIFIABLE
from shared.watch import GUARDRAIL_BLIND
from shared.wording import first_screen, headline, label, news, subject_name

SCHEMA = "mfa-delete-guardrail/alert/1"
DRILL_SCHEMA = "mfa-delete-guardrail/drill/1"
DIGEST_SCHEMA = "mfa-delete-guardrail/digest/1"
SUBJECT_LIMIT = 99
"""SNS: less than 100 characters."""
TEXT_LIMIT = 60_000
"""Of one text. A message holds two, written as JSON, and SNS takes 256 KiB; plain ASCII grows little on the way."""
VALUE_LIMIT = 256
"""Of one value in the JSON form that others chose."""


def alert(told: Told, settings: Settings, home: Settings | None = None) -> Alert:
    """One finding as one message. settings: of the bucket's account; home: of ours, None where they are the same."""
    finding = told.finding
    page = runbook_page(told, settings) if told.is_bad_news else ""
    parts = [first_screen(told, settings, home or settings), page]
    text = _within_limit("\n\n".join(part for part in parts if part))
    return Alert(
        subject=subject(label(told), headline(told), finding, settings),
        text=text,
        json=json.dumps(document(told, settings, page), ensure_ascii=True),
        attributes={"severity": finding.severity.value, "control": finding.control, "change": told.change.value},
    )


def _where(settings: Settings, region: str) -> str:
    """The account's name, or its number, and the Region, for a subject."""
    name = quoting.quoted(settings.account_name)[1:-1] or settings.account_id
    return f"{quoting.cut(name, 24)}, {region}"


def drill_alert(settings: Settings, now: datetime) -> Alert:
    """A marked message that only shows that alerts arrive."""
    where = _where(settings, settings.aws_region)
    text = (
        f"This is a drill of the guardrail {settings.stack_name} in {settings.aws_region}, account "
        f"{settings.account_label}, at {quoting.utc(now)}: somebody asked whether alerts arrive. Nothing happened, and "
        "nothing is to be done."
    )
    document = {"schema": DRILL_SCHEMA, "account": settings.account_id, "region": settings.aws_region, "title": text}
    return Alert(
        subject=quoting.cut(f"[drill] Alerts arrive: {settings.stack_name} ({where})", SUBJECT_LIMIT),
        text=text,
        json=json.dumps(document),
        attributes={"severity": Severity.INFO.value, "control": "drill", "change": "drill"},
    )


def _within_limit(text: str) -> str:
    """Cut a text that outgrew TEXT_LIMIT, and say so."""
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "\n[cut here: too long for one message]\n"


def subject(label: str, headline: str, finding: Finding, settings: Settings) -> str:
    """`[critical] MFA delete turned OFF: BUCKET (ACCOUNT, REGION)`, ASCII, one line, at most 99 characters.

    What is too long: first the account's name is cut, then the middle of the bucket's name.
    """
    bucket, region = subject_name(finding, settings), finding.bucket.region
    account = quoting.quoted(settings.account_name)[1:-1] or finding.bucket.account
    frame = len(f"[{label}] {headline}:  (, {region})")
    room = SUBJECT_LIMIT - frame - len(bucket)
    account = quoting.cut(account, max(room, min(len(account), 12)))
    bucket = quoting.cut(bucket, SUBJECT_LIMIT - frame - len(account))
    return f"[{label}] {headline}: {bucket} ({account}, {region})"


def runbook_page(told: Told, settings: Settings) -> str:
    """The runbook for this very bucket, in Markdown."""
    finding = told.finding
    is_part = finding.bucket.name == GUARDRAIL and finding.control == STATE_UNVERIFIABLE.id
    heading = GUARDRAIL_BLIND.runbook if is_part else BY_ID[finding.control].runbook
    obstacles = told.obstacles or runbook.NO_OBSTACLE
    return runbook.filled(heading, finding.bucket, settings, obstacles, finding.short_id)


def document(told: Told, settings: Settings, page: str) -> dict[str, object]:
    """The JSON form; docs/alert.schema.json describes it."""
    f = told.finding
    return {
        "schema": SCHEMA,
        "finding_id": f.short_id,
        "control": f.control,
        "change": told.change.value,
        "severity": f.severity.value,
        "status": f.status.value,
        "title": news(told, settings),
        "bucket": f.bucket.name if f.bucket.is_bucket else None,
        "account": f.bucket.account,
        "account_name": settings.account_name,
        "region": f.bucket.region,
        "at": f.at.isoformat(),
        "last_at": f.last_at.isoformat(),
        "detected_at": f.detected_at.isoformat(),
        "principal": f.principal.id if f.principal else None,
        "principal_type": f.principal.kind if f.principal else None,
        "session": f.principal.session[:VALUE_LIMIT] if f.principal else None,
        "source_ip": f.source_ip or None,
        "user_agent": f.user_agent[:VALUE_LIMIT] or None,
        "event_name": f.event_name or None,
        "error_code": f.error_code or None,
        "error_message": f.error_message[:VALUE_LIMIT] or None,
        "cause": f.cause.value if f.cause is not Cause.NONE else None,
        "outcome": _outcome(f),
        "detail": f.detail or None,
        "conditions": _conditions(f),
        "resources": [resource[:VALUE_LIMIT] for resource in f.resources],
        "objects": [{"key": o.key[:VALUE_LIMIT], "version_id": o.version_id[:VALUE_LIMIT]} for o in f.objects],
        "count": f.count,
        "versions_deleted": told.versions_deleted,
        "watched_since": (told.seen_since or f.watched_since).isoformat(),
        "not_seen": [each[:VALUE_LIMIT] for each in told.unlogged],
        "is_proof": f.is_proof,
        "acknowledged_by": f.acknowledged_by or None,
        "why": f.why[:VALUE_LIMIT] or None,
        "refs": list(BY_ID[f.control].refs),
        "runbook": page or None,
    }


def _conditions(finding: Finding) -> list[dict[str, str]]:
    return [{"about": c.about, "problem": c.problem, "meaning": c.meaning, "mend": c.mend} for c in finding.conditions]


def _outcome(finding: Finding) -> str | None:
    if finding.control == VERSION_DELETED.id:
        return Outcome.DONE.value
    return Outcome.DENIED.value if finding.control == VERSION_DELETE_DENIED.id else None


def worst_first(all_told: Sequence[Told]) -> list[Told]:
    """Bad news before good, the severest first, then the oldest."""
    order = list(Severity)
    return sorted(all_told, key=lambda t: (not t.is_bad_news, order.index(t.finding.severity), t.finding.detected_at))


type OfAccount = Callable[[str], Settings]
"""What messages about an account say of it, this one or another."""


def digests(
    all_told: Sequence[Told], settings: Settings, now: datetime, of_account: OfAccount | None = None
) -> list[Alert]:
    """The rest of a run that had more than it may send singly: every finding on a line of its own.

    As few messages as hold all lines; the text says how to get a bucket's runbook. of_account: None: all are ours.
    """
    entries = [(_digest_line(told, settings), _digest_entry(told)) for told in all_told]
    if not entries:
        return []
    chunks = _chunks(entries)
    place = _place(all_told, of_account or (lambda _account: settings))
    return [
        _digest(chunk, number, len(chunks), all_told, settings, now, place) for number, chunk in enumerate(chunks, 1)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a digest's findings are: of which account, and how subject and text call that."""

    settings: Settings
    where: str
    account: str


def _place(all_told: Sequence[Told], of_account: OfAccount) -> _Place:
    accounts = sorted({told.finding.bucket.account for told in all_told})
    regions = sorted({told.finding.bucket.region for told in all_told})
    settings = of_account(accounts[0])
    if len(accounts) > 1:
        several = f"{len(accounts)} accounts"
        return _Place(settings=settings, where=several, account=several)
    region = regions[0] if len(regions) == 1 else f"{len(regions)} Regions"
    return _Place(settings=settings, where=_where(settings, region), account=f"account {settings.account_label}")


type Entry = tuple[str, dict[str, object]]
"""One finding of a digest: its line for people, its object for programs."""


def _chunks(entries: list[Entry]) -> list[list[Entry]]:
    chunks: list[list[Entry]] = [[]]
    size = 0
    for line, document in entries:
        length = max(len(line) + 1, len(json.dumps(document)) // 2)  # the text may hold half of a message
        if size + length > TEXT_LIMIT * 9 // 10 and chunks[-1]:
            chunks.append([])
            size = 0
        chunks[-1].append((line, document))
        size += length
    return chunks


def _digest_entry(told: Told) -> dict[str, object]:
    """A finding in the JSON form of a digest; docs/alert.schema.json describes it."""
    finding = told.finding
    return {
        "finding_id": finding.short_id,
        "control": finding.control,
        "change": told.change.value,
        "severity": finding.severity.value,
        "bucket": finding.bucket.name if finding.bucket.is_bucket else None,
        "account": finding.bucket.account,
        "region": finding.bucket.region,
        "at": finding.at.isoformat(),
        "count": finding.count,
        "principal": finding.principal.id[:VALUE_LIMIT] if finding.principal else None,
    } | ({"conditions": _conditions(finding)} if finding.conditions else {})


def _mark(told: Told) -> str:
    """The word in the brackets of a digest's line: a reminder and a sum are as bad as their finding."""
    return told.finding.severity.value if told.change in ROUTINE else label(told)


def _digest_line(told: Told, settings: Settings) -> str:
    finding = told.finding
    account, region = finding.bucket.account, finding.bucket.region
    where = "" if settings.is_home(account, region) else f" ({account}, {region})"
    who = f" by {quoting.plain(finding.principal.id, 120)}" if finding.principal else ""
    name = subject_name(finding, settings)
    line = f"[{_mark(told)}] {headline(told)}: {name}{where}, {quoting.minute(finding.at)}{who} ({finding.short_id})"
    mends = [
        f"  - {each.meaning}; mend: {each.mend}" for each in finding.conditions if told.change is not Change.RESOLVED
    ]
    return "\n".join([line, *mends])


def _digest(
    entries: list[Entry],
    number: int,
    of: int,
    all_told: Sequence[Told],
    settings: Settings,
    now: datetime,
    place: _Place,
) -> Alert:
    worst = worst_first(all_told)[0]
    mark = _mark(worst)
    part = f", part {number} of {of}" if of > 1 else ""
    findings = "finding" if len(all_told) == 1 else "findings"
    what = f"{len(all_told)} more {findings}" if worst.is_bad_news else f"News of {len(all_told)} {findings}"
    title = f"[{mark}] {what}{part} ({place.where})"[:SUBJECT_LIMIT]
    if len(all_told) == 1:
        title = subject(mark, headline(worst), worst.finding, place.settings)
    text = "\n".join([
        f"{what} of {place.account}, as of {quoting.utc(now)}{part}.",
        f"Too many for single messages ({SINGLES_A_RUN} a run, {SINGLES_AN_HOUR} an hour), or never sent singly",
        "(reminders, low, for information):",
        "",
        *(line for line, _ in entries),
        "",
        f"All that is open, with buckets, since when and why: {settings.command} status",
        "The runbook of a single finding is the same as in the single alerts, with the bucket's own name.",
    ])  # fmt: skip
    return Alert(
        subject=title,
        text=text,
        json=json.dumps(
            {
                "schema": DIGEST_SCHEMA,
                "account": settings.account_id,
                "region": settings.aws_region,
                "part": number,
                "parts": of,
                "findings": [document for _, document in entries],
            }
        ),
        attributes={"severity": worst.finding.severity.value, "control": "digest", "change": "digest"},
    )
