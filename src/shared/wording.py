"""The sentences of an alert: its headline and its first screen, in the order in which a person needs them."""

from datetime import timedelta

from shared import quoting, runbook
from shared.containment import until_root
from shared.controls import BY_ID, PROTECTION
from shared.deeds import (
    BUCKET_DELETED,
    EXCEPTION_SET,
    VERSION_DELETE_DENIED,
    VERSION_DELETED,
    VERSIONING_CHANGE_DENIED,
)
from shared.facts import GUARDRAIL, SPOKE, Cause
from shared.finding import OBJECTS_KEPT, ROUTINE, Change, Finding, Severity, Status, Told
from shared.settings import Settings
from shared.states import (
    EXCEPTION_INVALID,
    LIFECYCLE_CONFLICT,
    LIFECYCLE_EXPIRES_VERSIONS,
    MFA_DELETE_DISABLED,
    MFA_DELETE_MISSING,
    PROTECTION_TAG_REMOVED,
    READ_LIFECYCLE,
    ROOT_ACCESS_KEY_PRESENT,
    ROOT_MFA_ABSENT,
    STATE_UNVERIFIABLE,
    VERSIONING_SUSPENDED,
)
from shared.watch import GUARDRAIL_BLIND, GUARDRAIL_CHANGED, GUARDRAIL_TAMPERED

UNLOGGED_NAMED = 3
"""So many principals that trails leave out are named in an alert."""
WHAT_IT_IS = (
    "MFA delete makes S3 refuse, to everyone but the account's root user with a one-time code, "
    "to delete object versions for good or to change the bucket's versioning."
)


def label(told: Told) -> str:
    """The word in the brackets of a subject: the severity of bad news, else what became of the finding."""
    if told.finding.is_proof and told.is_bad_news:
        return "proof"
    return told.finding.severity.value if told.is_bad_news else told.change.value


def headline(told: Told) -> str:
    """What a subject says after the brackets."""
    if told.finding.is_proof:
        return "Proof received"
    if told.change is Change.EXPIRED:
        return "No longer watched"
    if told.change is Change.EXEMPTED:
        return "MFA delete still OFF, by exception"
    title = _title(told.finding)
    if told.change is Change.RESOLVED:
        return _GOOD_NEWS[told.finding.control]
    if told.change is Change.REMINDED:
        return f"Still: {title}"
    if told.change in {Change.GREW, Change.SUMMED}:
        return f"{title}, {told.finding.count} times"
    return title


def _title(finding: Finding) -> str:
    if finding.bucket.name == GUARDRAIL and finding.control == STATE_UNVERIFIABLE.id:
        return "Part of the guardrail may not be looked at"
    return BY_ID[finding.control].title


def subject_name(finding: Finding, settings: Settings) -> str:
    """What a finding is about, as short as it goes: a bucket, root, or this stack."""
    names = {"": "root user", GUARDRAIL: settings.stack_name}
    return names.get(finding.bucket.name, finding.bucket.name)


_NOT_RESOLVED = {
    Change.SUPERSEDED: "another finding says what is so now, or it is not watched any more",
    Change.BUCKET_DELETED: "the bucket was deleted",
}
_GOOD_NEWS = {
    GUARDRAIL_BLIND.id: "The guardrail sees again",
    MFA_DELETE_DISABLED.id: "MFA delete is on again",
    VERSIONING_SUSPENDED.id: "Versioning is on again",
    MFA_DELETE_MISSING.id: "MFA delete is on",
    PROTECTION_TAG_REMOVED.id: "Protection tag is back",
    LIFECYCLE_CONFLICT.id: "No lifecycle configuration in the way",
    LIFECYCLE_EXPIRES_VERSIONS.id: "No new lifecycle rule deletes versions",
    ROOT_ACCESS_KEY_PRESENT.id: "Root has no access key",
    ROOT_MFA_ABSENT.id: "Root has a device that shows codes",
    EXCEPTION_INVALID.id: "No invalid exception",
    STATE_UNVERIFIABLE.id: "Bucket can be read again",
}


def first_screen(told: Told, settings: Settings, home: Settings) -> str:
    """All that stands before the runbook. settings: of the bucket's account; home: of ours, where the command looks."""
    finding = told.finding
    if not told.is_bad_news:
        return "\n\n".join([good_sentence(told, settings), *_closing_lines(told, settings)])
    if not finding.bucket.is_bucket:
        blocks = [sentence(finding, settings), *_conditions(finding), "\n".join(_facts(finding, settings))]
        return "\n\n".join([*blocks, *_closing_lines(told, settings)])
    blocks = [f"{sentence(finding, settings)} {WHAT_IT_IS}", _loss(told, settings)]
    is_still_off = finding.control in PROTECTION and not finding.undone
    if is_still_off:
        blocks.append(_who_can(finding, settings))
    blocks.append("\n".join(_facts(finding, settings)))
    if is_still_off:
        blocks.append(_without_root(finding, settings, home))
    return "\n\n".join([*blocks, *_closing_lines(told, settings)])


def short(told: Told, settings: Settings) -> list[str]:
    """What fits on a telephone: what happened, what is lost, who can mend it, who did it. No runbook."""
    finding = told.finding
    if not told.is_bad_news:
        return [good_sentence(told, settings)]
    lines = [sentence(finding, settings)]
    if finding.bucket.is_bucket:
        lines.append(_loss(told, settings))
    if finding.control in PROTECTION and not finding.undone:
        lines.append(_who_can(finding, settings))
    lines += [f"{each.meaning} Mend: {each.mend}" for each in finding.conditions]
    return lines + _facts(finding, settings)


def _conditions(finding: Finding) -> list[str]:
    """What is wrong with the guardrail, the worst first, each with what mends it."""
    return ["\n".join(f"- {each.meaning}\n  mend: {each.mend}" for each in finding.conditions)] * bool(
        finding.conditions
    )


def _place(finding: Finding, settings: Settings) -> str:
    if finding.bucket.name == GUARDRAIL:
        what = "spoke of the guardrail" if any(each.about == SPOKE for each in finding.conditions) else "guardrail"
        return f"{what} {settings.stack_name} in {finding.bucket.region}, account {settings.account_label}"
    if not finding.bucket.name:
        return f"account {settings.account_label}"
    return f"bucket {finding.bucket.name} in {finding.bucket.region}, account {settings.account_label}"


def news(told: Told, settings: Settings) -> str:
    """The one sentence of what is told, good or bad."""
    is_bad = told.is_bad_news or told.change in ROUTINE
    return sentence(told.finding, settings) if is_bad else good_sentence(told, settings)


def sentence(finding: Finding, settings: Settings) -> str:
    """What happened, in one sentence."""
    place, when = _place(finding, settings), quoting.utc(finding.at)
    if finding.control == MFA_DELETE_DISABLED.id:
        again = " and was found on again when the guardrail looked" if finding.undone else ""
        by = f"was turned off at {when} on" if finding.principal else "was found turned off on"
        return f"MFA delete {by} {place}{again}."
    if finding.control == VERSIONING_SUSPENDED.id:
        return (
            f"Versioning is suspended on {place}: what is written from now on can be overwritten and deleted for good."
        )
    if finding.control == MFA_DELETE_MISSING.id:
        return (
            f"MFA delete is not on for {place}, which is to have it "
            f"(tag {settings.protect_tag_key}={settings.protect_tag_value})"
            + ("" if finding.versioning_on else "; versioning is not on either")
            + (f"; {finding.detail}." if finding.detail else ".")
        )
    return _other_sentence(finding, place, settings)


def _guardrail_sentence(finding: Finding, place: str, settings: Settings) -> str:
    """What happened to the guardrail itself."""
    if finding.control == GUARDRAIL_BLIND.id:
        if finding.severity is Severity.CRITICAL:
            return f"The {place} is blind: turning MFA delete off would not be noticed when it happens."
        return f"The {place} does not see everything, or is not heard by everybody: see what to mend."
    if finding.control == GUARDRAIL_TAMPERED.id:
        named = ", ".join(quoting.quoted(each, 200) for each in finding.resources)
        return f"Somebody changed the {place}: {finding.detail}{f' on {named}' if named else ''}."
    if finding.control == GUARDRAIL_CHANGED.id:
        return f"The {place} was updated through CloudFormation; it is version {settings.version} as this is written."
    return f"Part of the {place} may not be looked at: {finding.detail}."


def _other_sentence(finding: Finding, place: str, settings: Settings) -> str:
    if finding.bucket.name == GUARDRAIL:
        return _guardrail_sentence(finding, place, settings)
    fixed = {
        STATE_UNVERIFIABLE.id: _unverifiable_sentence(finding, place),
        VERSIONING_CHANGE_DENIED.id: (
            f"Refused: nothing was changed. Somebody tried to change versioning or MFA delete of {place}."
        ),
        BUCKET_DELETED.id: f"There is no {place} any more; its other findings are closed, but not as resolved.",
        PROTECTION_TAG_REMOVED.id: (
            f"The tag {settings.protect_tag_key}={settings.protect_tag_value} was removed from {place}; "
            "it stays watched."
        ),
        LIFECYCLE_CONFLICT.id: f"A lifecycle configuration stands on {place}: S3 will refuse to turn MFA delete on.",
        LIFECYCLE_EXPIRES_VERSIONS.id: (
            f"A lifecycle rule that deletes versions for good was put on {place}: {finding.detail}. "
            f"The first versions may go at {_first_day(finding)}."
        ),
        ROOT_ACCESS_KEY_PRESENT.id: (
            f"The root user of {place} has an access key: the last step of the runbook was forgotten, or "
            "somebody made one."
        ),
        ROOT_MFA_ABSENT.id: (
            f"The root user of {place} has no device that is known to show six-digit codes, so that the runbook could "
            f"not be followed today: {finding.detail}."
        ),
        EXCEPTION_SET.id: f"The exception of {place} was changed: {finding.detail}.",
        EXCEPTION_INVALID.id: f"The exception of {place} is none: {finding.detail}.",
    }
    return fixed.get(finding.control) or _deed_sentence(finding, place)


def _unverifiable_sentence(finding: Finding, place: str) -> str:
    if not finding.bucket.name:
        return (
            f"The guardrail may not ask IAM about root of {place}, so nobody knows whether the runbook can be followed."
        )
    if READ_LIFECYCLE in finding.detail:
        what = f"the lifecycle configuration of {place}"
        return f"The guardrail may not read {what}, so nobody knows whether a rule deletes versions there."
    return f"The guardrail may not read {place}, so nobody knows whether it is protected."


def _first_day(finding: Finding) -> str:
    """S3 counts from the midnight (UTC) after; what has not been current for as long already goes then."""
    midnight = finding.at.replace(hour=0, minute=0, second=0) + timedelta(days=1)
    return f"{quoting.minute(midnight)}, if they have not been current for that long by then"


def _deed_sentence(finding: Finding, place: str) -> str:
    what = _versions(finding)
    if finding.is_proof:
        tried = f"Root tried one on {place}, as the runbook says"
        return f"Proof received: refused version deletes are seen. {tried}; nothing was deleted."
    if finding.control == VERSION_DELETED.id:
        return f"{what} deleted for good from {place}."
    tried = f"Somebody tried to delete {what} from {place}"
    return f"Refused: nothing was deleted. {tried}, and S3 refused: {_cause(finding)}."


def _versions(finding: Finding) -> str:
    """How many versions were named, or tried; batches that were refused name none."""
    batches = "several objects at once (DeleteObjects; neither keys nor versions are in the record)"
    if not finding.objects:
        return batches
    named = finding.count - finding.unnamed
    if finding.control == VERSION_DELETED.id:
        return "1 version was" if named == 1 else f"{named} versions were"
    distinct = len(finding.objects)
    if distinct < named and distinct < OBJECTS_KEPT:  # else some may have been named that are not kept
        what = f"{_counted(distinct)} in {named} attempts"
    else:
        what = _counted(named)
    return f"{what}, and {batches}" if finding.unnamed else what


def _counted(number: int) -> str:
    return "1 version" if number == 1 else f"{number} versions"


def _cause(finding: Finding) -> str:
    return {
        Cause.MFA: "MFA delete is on and the request had no valid code of root",
        Cause.OBJECT_LOCK: "the version is locked by Object Lock",
        Cause.POLICY: "a policy does not allow it",
    }.get(finding.cause, "the reason is not known: the error text does not say, or they differ")


def _loss(told: Told, settings: Settings) -> str:
    """Was anything lost. Never a bare "no": all that can be said is what was seen."""
    finding = told.finding
    if finding.control == VERSION_DELETED.id:
        lost = f"{_versions(finding)} permanently deleted (so far, by this principal)."
        return f"Was anything lost: {lost}{_not_seen(told, settings)}"
    if finding.control == BUCKET_DELETED.id:
        return "Was anything lost: whatever was in it had been deleted before; S3 deletes only empty buckets."
    if finding.control in {VERSION_DELETE_DENIED.id, VERSIONING_CHANGE_DENIED.id}:
        return "Was anything lost: not by this request, it was refused."
    if not finding.versioning_on:
        return (
            "Was anything lost: cannot tell; without versioning every overwrite and every plain delete is for good, "
            "and those are not watched."
        )
    if told.versions_deleted:
        lost = f"{_counted(told.versions_deleted)} deleted for good, seen {_since(told)}"
        return f"Was anything lost: {lost}.{_not_seen(told, settings)}"
    if not settings.watch_version_deletes:
        return "Was anything lost: cannot tell; permanent deletes are not watched, by choice (WatchVersionDeletes=no)."
    seen = f"no permanent delete seen {_since(told)} (seen means: logged by a trail)"
    return f"Was anything lost: {seen}.{_not_seen(told, settings)}"


def _not_seen(told: Told, settings: Settings) -> str:
    """Whose deletes no trail logs, by choice; they may have deleted everything."""
    if not told.unlogged:
        return ""
    named = ", ".join(quoting.plain(each, 200) for each in told.unlogged[:UNLOGGED_NAMED])
    more = len(told.unlogged) - UNLOGGED_NAMED
    others = f" and {more} more ({settings.command} status names them)" if more > 0 else ""
    who = "1 principal" if len(told.unlogged) == 1 else f"{len(told.unlogged)} principals"
    return f" Deletes by {who} excluded from the trail's logging are not seen: {named}{others}."


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
    found = f"not known; found {quoting.utc(finding.detected_at)}"
    lines.append(f"When:  {quoting.utc(finding.at)}, detected {late} later" if finding.principal else f"When:  {found}")
    if finding.error_code:
        lines.append(f"Error: {quoting.plain(finding.error_code)}: {quoting.plain(finding.error_message, 300)}")
    if finding.control == STATE_UNVERIFIABLE.id and finding.bucket.is_bucket:
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


def _without_root(finding: Finding, settings: Settings, home: Settings) -> str:
    bucket = finding.bucket
    command = home.command if home.is_home(bucket.account, bucket.region) else ""
    return until_root(bucket.name, settings.partition, command, versioning_on=finding.versioning_on)


def good_sentence(told: Told, settings: Settings) -> str:
    """One sentence about a finding that was resolved, acknowledged or let go."""
    finding, place = told.finding, _place(told.finding, settings)
    if told.change is Change.EXPIRED:
        why = "missing for 30 days" if not finding.acknowledged_by else "missing, which somebody acknowledged"
        return f"The protection tag has been {why}: {place} is no longer watched."
    if told.change is Change.EXEMPTED:
        return f"Quieted by an exception {finding.detail}: MFA delete of {place} is still OFF, without reminders."
    if told.change is Change.ACKNOWLEDGED:
        until = "it is closed" if finding.is_deed else "it stays open, without reminders, until it ends"
        by, why = quoting.plain(finding.acknowledged_by, 200), quoting.quoted(finding.why, 300)
        return f"Acknowledged by {by}, because {why}: {finding.control} of {place}; {until}."
    was = quoting.utc(finding.at)
    if told.change in _NOT_RESOLVED:
        return f"Closed, not resolved: {finding.control} of {place}, of {was}; {_NOT_RESOLVED[told.change]}."
    if finding.control == STATE_UNVERIFIABLE.id:
        return f"Resolved: the guardrail can read {place} again. The finding {finding.control} was of {was}."
    return f"Resolved: {_GOOD_NEWS[finding.control]} for {place}. The finding {finding.control} was of {was}."


def _closing_lines(told: Told, settings: Settings) -> list[str]:
    finding, bucket, console = told.finding, told.finding.bucket, runbook.console(settings)
    named = f"Finding: {finding.short_id} {finding.control}, {finding.severity.value} ({told.change.value})"
    if told.is_bad_news and finding.status is Status.OPEN:
        ends = "closes it" if finding.is_deed else "ends the reminders, not the finding"
        named += f'\nSeen:    {settings.command} ack {finding.short_id} --why "..." ({ends})'
    if not console or not bucket.is_bucket:
        return [named]
    return [f"Console: {console}/s3/buckets/{bucket.name}?region={bucket.region}&tab=properties\n{named}"]
