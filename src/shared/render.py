"""Findings -> alerts: the one place where the text of a message is made, for people and for programs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared import quoting, runbook
from shared.controls import (
    BUCKET_DELETED,
    BY_ID,
    EXCEPTION_INVALID,
    EXCEPTION_SET,
    MFA_DELETE_DISABLED,
    MFA_DELETE_MISSING,
    PROTECTION,
    PROTECTION_TAG_REMOVED,
    STATE_UNVERIFIABLE,
    VERSION_DELETE_DENIED,
    VERSION_DELETED,
    VERSIONING_CHANGE_DENIED,
    VERSIONING_SUSPENDED,
)
from shared.facts import Cause, Outcome
from shared.finding import Alert, Change, Finding, Severity
from shared.settings import Settings

SCHEMA = "mfa-delete-guardrail/alert/1"
SUBJECT_LIMIT = 99
"""SNS: less than 100 characters."""
TEXT_LIMIT = 60_000
"""Of one text. A message holds two, written as JSON, and SNS takes 256 KiB; plain ASCII grows little on the way."""
VALUE_LIMIT = 256
"""Of one value in the JSON form that others chose."""

WHAT_IT_IS = (
    "MFA delete makes S3 refuse, to everyone but the account's root user with a one-time code, "
    "to delete object versions for good or to change the bucket's versioning."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One thing to tell: a finding as it was after a change, with what was known when it is sent.

    `versions_deleted` counts permanent deletes seen on the bucket since `seen_since`, which is `finding.watched_since`
    or, when that is longer ago than deletes are kept, later.
    `obstacles` is the runbook's paragraph about a lifecycle configuration (empty where no runbook needs it).
    """

    finding: Finding
    change: Change
    versions_deleted: int = 0
    seen_since: datetime | None = None
    obstacles: str = ""


def alert(told: Told, settings: Settings) -> Alert:
    """One finding as one message."""
    finding = told.finding
    page = runbook_page(told, settings) if is_bad_news(told) else ""
    parts = [_first_screen(told, settings), page]
    text = _within_limit("\n\n".join(part for part in parts if part))
    severity = finding.severity.value if is_bad_news(told) else told.change.value
    return Alert(
        subject=subject(severity, _headline(told), finding, settings),
        text=text,
        json=json.dumps(_document(told, settings, page), ensure_ascii=True),
        attributes={"severity": finding.severity.value, "control": finding.control, "change": told.change.value},
    )


def is_bad_news(told: Told) -> bool:
    """Opened or open again, as against resolved or closed."""
    return told.change in {Change.OPENED, Change.REOPENED}


def _within_limit(text: str) -> str:
    """Cut a text that outgrew TEXT_LIMIT, and say so."""
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "\n[cut here: too long for one message]\n"


def subject(label: str, headline: str, finding: Finding, settings: Settings) -> str:
    """`[critical] MFA delete turned OFF: BUCKET (ACCOUNT, REGION)`, ASCII, one line, at most 99 characters.

    What is too long: first the account's name is cut, then the middle of the bucket's name.
    """
    bucket, region = finding.bucket.name, finding.bucket.region
    account = quoting.quoted(settings.account_name)[1:-1] or finding.bucket.account
    frame = len(f"[{label}] {headline}:  (, {region})")
    room = SUBJECT_LIMIT - frame - len(bucket)
    account = quoting.cut(account, max(room, min(len(account), 12)))
    bucket = quoting.cut(bucket, SUBJECT_LIMIT - frame - len(account))
    return f"[{label}] {headline}: {bucket} ({account}, {region})"


def runbook_page(told: Told, settings: Settings) -> str:
    """The runbook for this very bucket, in Markdown."""
    finding = told.finding
    heading = BY_ID[finding.control].runbook
    return runbook.filled(heading, finding.bucket, settings, told.obstacles or runbook.NO_OBSTACLE)


def _headline(told: Told) -> str:
    if told.change is Change.EXPIRED:
        return "No longer watched"
    if told.change is Change.RESOLVED:
        return _GOOD_NEWS[told.finding.control]
    return BY_ID[told.finding.control].title


_GOOD_NEWS = {
    MFA_DELETE_DISABLED.id: "MFA delete is on again",
    VERSIONING_SUSPENDED.id: "Versioning is on again",
    MFA_DELETE_MISSING.id: "MFA delete is on",
    PROTECTION_TAG_REMOVED.id: "Protection tag is back",
    EXCEPTION_INVALID.id: "No invalid exception",
    STATE_UNVERIFIABLE.id: "Bucket can be read again",
}


def _first_screen(told: Told, settings: Settings) -> str:
    finding = told.finding
    if not is_bad_news(told):
        return "\n\n".join([_good_sentence(told, settings), *_closing_lines(told, settings)])
    blocks = [f"{_sentence(finding, settings)} {WHAT_IT_IS}", _loss(told, settings)]
    is_still_off = finding.control in PROTECTION and not finding.undone
    if is_still_off:
        blocks.append(_who_can(finding, settings))
    blocks.append("\n".join(_facts(finding, settings)))
    if is_still_off:
        blocks.append(_without_root(finding, settings))
    return "\n\n".join([*blocks, *_closing_lines(told, settings)])


def _place(finding: Finding, settings: Settings) -> str:
    return f"bucket {finding.bucket.name} in {finding.bucket.region}, account {settings.account_label}"


def _sentence(finding: Finding, settings: Settings) -> str:
    """What happened, in one sentence."""
    place, when = _place(finding, settings), quoting.utc(finding.at)
    if finding.control == MFA_DELETE_DISABLED.id:
        again = " and was found on again when the guardrail looked" if finding.undone else ""
        by = f"was turned off at {when} on" if finding.principal else "was found turned off on"
        return f"MFA delete {by} {place}{again}."
    if finding.control == VERSIONING_SUSPENDED.id:
        return f"Versioning is suspended on {place}: what is overwritten or deleted from now on is not kept."
    if finding.control == MFA_DELETE_MISSING.id:
        return (
            f"MFA delete is not on for {place}, which is to have it "
            f"(tag {settings.protect_tag_key}={settings.protect_tag_value})."
        )
    fixed = {
        STATE_UNVERIFIABLE.id: f"The guardrail may not read {place}, so nobody knows whether it is protected.",
        VERSIONING_CHANGE_DENIED.id: (
            f"Refused: nothing was changed. Somebody tried to change versioning or MFA delete of {place}."
        ),
        BUCKET_DELETED.id: f"There is no {place} any more; its other findings are closed, but not as resolved.",
        PROTECTION_TAG_REMOVED.id: (
            f"The tag {settings.protect_tag_key}={settings.protect_tag_value} was removed from {place}; "
            "it stays watched."
        ),
        EXCEPTION_SET.id: f"The exception of {place} was changed: {finding.detail}.",
        EXCEPTION_INVALID.id: f"The exception of {place} is none: {finding.detail}.",
    }
    return fixed.get(finding.control) or _deed_sentence(finding, place)


def _deed_sentence(finding: Finding, place: str) -> str:
    what = _versions(finding)
    if finding.control == VERSION_DELETED.id:
        return f"{what} deleted for good from {place}."
    tried = f"Somebody tried to delete {what} from {place}"
    return f"Refused: nothing was deleted. {tried}, and S3 refused: {_cause(finding)}."


def _versions(finding: Finding) -> str:
    if not finding.objects:
        return "several objects at once (DeleteObjects; neither keys nor versions are in the record)"
    if finding.control == VERSION_DELETED.id:
        return "1 version was" if finding.count == 1 else f"{finding.count} versions were"
    return "1 version" if finding.count == 1 else f"{finding.count} versions"


def _cause(finding: Finding) -> str:
    return {
        Cause.MFA: "MFA delete is on and the request had no valid code of root",
        Cause.OBJECT_LOCK: "the version is locked by Object Lock",
        Cause.POLICY: "a policy does not allow it",
    }.get(finding.cause, "the reason is not known: its error text does not say")


def _loss(told: Told, settings: Settings) -> str:
    """Was anything lost. Never a bare "no": all that can be said is what was seen."""
    finding = told.finding
    if finding.control == VERSION_DELETED.id:
        return f"Was anything lost: {_versions(finding)} permanently deleted (so far, by this principal)."
    if finding.control == BUCKET_DELETED.id:
        return "Was anything lost: everything that was in it; only an empty bucket can be deleted."
    if finding.control in {VERSION_DELETE_DENIED.id, VERSIONING_CHANGE_DENIED.id}:
        return "Was anything lost: not by this request, it was refused."
    if told.versions_deleted:
        plural = "version" if told.versions_deleted == 1 else "versions"
        return f"Was anything lost: {told.versions_deleted} {plural} deleted for good, seen {_since(told)}."
    if not settings.watch_version_deletes:
        return "Was anything lost: cannot tell; permanent deletes are not watched, by choice (WatchVersionDeletes=no)."
    return f"Was anything lost: no permanent delete seen {_since(told)} (seen means: logged by a trail)."


def _since(told: Told) -> str:
    since, known_since = told.finding.watched_since, told.finding.known_since
    if told.seen_since and told.seen_since > since:
        return f"since {quoting.minute(told.seen_since)}; what was deleted longer ago is not kept"
    return f"since {quoting.minute(since)}, {known_since}"


def _who_can(finding: Finding, settings: Settings) -> str:
    contact = (
        quoting.plain(settings.root_contact) if settings.root_contact else "whoever holds it (no RootContact is set)"
    )
    if finding.control == VERSIONING_SUSPENDED.id and not finding.mfa_delete_on:
        return "Anybody with s3:PutBucketVersioning can resume versioning at once; MFA delete then needs the root user."
    back = "on" if finding.control == MFA_DELETE_MISSING.id else "back on"
    return f"You cannot turn it {back}; the root user of account {settings.account_label} can: call {contact}"


def _facts(finding: Finding, settings: Settings) -> list[str]:
    """Who, from where, when; for a turn-off what that means; what was named."""
    lines = []
    if finding.principal:
        session = f" (session {quoting.plain(finding.principal.session)})" if finding.principal.session else ""
        service = finding.principal.id.endswith(".amazonaws.com")
        unnamed = " (S3 itself: a lifecycle rule)" if service else " (an account: S3's own event does not say who)"
        unnamed = "" if finding.principal.is_named else unnamed
        lines.append(f"Who:   {quoting.plain(finding.principal.id, 200)}{session}{unnamed}")
        lines.append(f"From:  {quoting.plain(finding.source_ip) or 'not in the record'}, {_agent(finding)}")
    else:
        lines.append("Who:   not known; found by looking, no event named anybody")
    late = quoting.span(finding.detected_at - finding.at)
    lines.append(f"When:  {quoting.utc(finding.at)}, detected {late} later")
    if finding.error_code:
        lines.append(f"Error: {quoting.plain(finding.error_code)}: {quoting.plain(finding.error_message, 300)}")
    if finding.control == STATE_UNVERIFIABLE.id:
        lines.append(f"How:   {finding.detail}")
    lines += [f"What:  {quoting.quoted(o.key, 200)} version {quoting.plain(o.version_id, 80)}" for o in finding.objects]
    if finding.count > len(finding.objects) > 0:
        lines.append(f"       and {finding.count - len(finding.objects)} more")
    if finding.control == MFA_DELETE_DISABLED.id:
        security = quoting.plain(settings.security_contact) if settings.security_contact else "your security team"
        lines.append(
            f"Only root can do this: either the root holder planned it or root is compromised: tell {security}"
        )
    return lines


def _agent(finding: Finding) -> str:
    agent = finding.user_agent.removeprefix("[").removesuffix("]")  # CloudTrail writes brackets around most
    return quoting.plain(quoting.cut(agent, 100), 120) if agent else "user agent not in the record"


def _without_root(finding: Finding, settings: Settings) -> str:
    arn = f"arn:{settings.partition}:s3:::{finding.bucket.name}"
    statement = {
        "Sid": "DenyPermanentDeletes",
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:DeleteObjectVersion", "s3:PutLifecycleConfiguration"],
        "Resource": [arn, f"{arn}/*"],
    }
    return (
        "Until then, without root: add this statement to the bucket's policy (or, without Principal, to an SCP). It "
        "does not stop whoever may change that policy, nor lifecycle rules that are there already. Take it out again "
        "before root removes a lifecycle configuration or proves the protection: it would refuse both.\n"
        + json.dumps(statement)
    )


def _good_sentence(told: Told, settings: Settings) -> str:
    finding, place = told.finding, _place(told.finding, settings)
    if told.change is Change.EXPIRED:
        return f"The protection tag has been missing for 30 days: {place} is no longer watched."
    was = quoting.utc(finding.at)
    return f"Resolved: {_GOOD_NEWS[finding.control]} for {place}. The finding {finding.control} was of {was}."


def _closing_lines(told: Told, settings: Settings) -> list[str]:
    finding, bucket, console = told.finding, told.finding.bucket, runbook.console(settings)
    named = f"Finding: {finding.short_id} {finding.control}, {finding.severity.value} ({told.change.value})"
    if not console:
        return [named]
    return [f"Console: {console}/s3/buckets/{bucket.name}?region={bucket.region}&tab=properties\n{named}"]


def _document(told: Told, settings: Settings, page: str) -> dict[str, object]:
    """The JSON form; docs/alert.schema.json describes it."""
    f = told.finding
    return {
        "schema": SCHEMA,
        "finding_id": f.short_id,
        "control": f.control,
        "change": told.change.value,
        "severity": f.severity.value,
        "status": f.status.value,
        "title": _sentence(f, settings) if is_bad_news(told) else _good_sentence(told, settings),
        "bucket": f.bucket.name,
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
        "objects": [{"key": o.key[:VALUE_LIMIT], "version_id": o.version_id[:VALUE_LIMIT]} for o in f.objects],
        "count": f.count,
        "versions_deleted": told.versions_deleted,
        "watched_since": (told.seen_since or f.watched_since).isoformat(),
        "refs": list(BY_ID[f.control].refs),
        "runbook": page or None,
    }


def _outcome(finding: Finding) -> str | None:
    if finding.control == VERSION_DELETED.id:
        return Outcome.DONE.value
    return Outcome.DENIED.value if finding.control == VERSION_DELETE_DENIED.id else None


def worst_first(all_told: Sequence[Told]) -> list[Told]:
    """Bad news before good, the severest first, then the oldest."""
    order = list(Severity)
    return sorted(all_told, key=lambda t: (not is_bad_news(t), order.index(t.finding.severity), t.finding.detected_at))


def digests(all_told: Sequence[Told], settings: Settings, now: datetime) -> list[Alert]:
    """The rest of a run that had more than it may send singly: every finding on a line of its own.

    As few messages as hold all lines; the text says how to get a bucket's runbook.
    """
    lines = [_digest_line(told) for told in all_told]
    if not lines:
        return []
    chunks = _chunks(lines)
    return [_digest(chunk, number, len(chunks), all_told, settings, now) for number, chunk in enumerate(chunks, 1)]


def _chunks(lines: list[str]) -> list[list[str]]:
    chunks: list[list[str]] = [[]]
    size = 0
    for line in lines:
        if size + len(line) > TEXT_LIMIT * 9 // 10 and chunks[-1]:
            chunks.append([])
            size = 0
        chunks[-1].append(line)
        size += len(line) + 1
    return chunks


def _digest_line(told: Told) -> str:
    finding = told.finding
    who = f" by {quoting.plain(finding.principal.id, 120)}" if finding.principal else ""
    label = finding.severity.value if is_bad_news(told) else told.change.value
    return f"[{label}] {_headline(told)}: {finding.bucket.name}, {quoting.minute(finding.at)}{who} ({finding.short_id})"


def _digest(
    lines: list[str], number: int, of: int, all_told: Sequence[Told], settings: Settings, now: datetime
) -> Alert:
    worst = worst_first(all_told)[0]
    label = worst.finding.severity.value if is_bad_news(worst) else worst.change.value
    part = f", part {number} of {of}" if of > 1 else ""
    where = (
        f"{quoting.cut(quoting.quoted(settings.account_name)[1:-1] or settings.account_id, 24)}, {settings.aws_region}"
    )
    text = "\n".join([
        f"{len(all_told)} more findings of account {settings.account_label}, as of {quoting.utc(now)}{part}.",
        "One run sends at most five alerts singly, worst first; these are the rest.",
        "",
        *lines,
        "",
        "The runbook of a single finding is the same as in the single alerts, with the bucket's own name.",
    ])  # fmt: skip
    return Alert(
        subject=f"[{label}] {len(all_told)} more findings{part} ({where})"[:SUBJECT_LIMIT],
        text=text,
        json=json.dumps(
            {"schema": f"{SCHEMA.rsplit('/', 1)[0]}-digest/1", "part": number, "parts": of, "lines": lines}
        ),
        attributes={"severity": worst.finding.severity.value, "control": "digest", "change": "digest"},
    )
