"""Every control in one place: above each record its predicate, below all the tuple CONTROLS."""

from collections.abc import Callable
from datetime import timedelta

from shared import exemption
from shared.evidence import Control, Evidence
from shared.facts import (
    TAGGING_CALLS,
    VERSIONING_CALL,
    BucketState,
    Gone,
    MfaDelete,
    Outcome,
    TriggerKind,
    Verdict,
    Versioning,
)
from shared.finding import Severity

WORD_OF_AN_EVENT = timedelta(days=1)
"""An older event (replayed from an archive, or very late) opens nothing on its own word: the live read decides."""


def _always(severity: Severity) -> Callable[[Evidence], Severity]:
    return lambda _evidence: severity


def _nobody(_evidence: Evidence) -> bool:
    return False


def _trigger_did_it(_evidence: Evidence) -> bool:
    return True


def believable(e: Evidence) -> bool:
    """Whether the trigger is recent enough to be taken at its word."""
    return e.now - e.trigger.at <= WORD_OF_AN_EVENT


def _did(e: Evidence, *calls: str) -> bool:
    """The trigger is one of these calls, and it succeeded."""
    return e.trigger.event_name in calls and e.trigger.outcome is Outcome.DONE


def _is_protected(e: Evidence) -> bool:
    return e.verdict is Verdict.PROTECTED


def _protected_or_exempt(e: Evidence) -> bool:
    return e.verdict in {Verdict.PROTECTED, Verdict.EXEMPT}


# --- mfa-delete-disabled ---------------------------------------------------------------------------------------------


def _root_disables(e: Evidence) -> bool:
    """Root's own successful Disabled. A role can only send it where MFA delete is off already (S3 user guide)."""
    root = e.trigger.principal is not None and e.trigger.principal.is_root
    return _did(e, VERSIONING_CALL) and root and e.trigger.asked_mfa_delete is MfaDelete.DISABLED


def _drifted(e: Evidence) -> bool:
    """Protected when last read, MFA delete off now, whatever woke us."""
    was_on = e.last is not None and e.last.verdict is Verdict.PROTECTED
    return was_on and isinstance(e.reading, BucketState) and e.reading.mfa_delete is not MfaDelete.ENABLED


def _blamed(e: Evidence) -> bool:
    """Root's word counts unless the bucket was known to be unprotected before it was given."""
    known = e.last is not None and e.last.verdict is Verdict.UNPROTECTED and e.last.since < e.trigger.at
    return _root_disables(e) and believable(e) and not known


def _mfa_delete_disabled(e: Evidence) -> bool:
    """Protected before and MFA delete off now, or root's own successful Disabled."""
    return e.enrolled and e.verdict is not Verdict.EXEMPT and (_drifted(e) or _blamed(e))


MFA_DELETE_DISABLED = Control(
    id="mfa-delete-disabled",
    title="MFA delete turned OFF",
    severity=_always(Severity.CRITICAL),
    holds=_mfa_delete_disabled,
    clears=_protected_or_exempt,
    done_by=_root_disables,
    runbook="turn-mfa-delete-on",
    refs=("CIS AWS Foundations 2.1.2", "Security Hub S3.20", "Config s3-bucket-mfa-delete-enabled"),
    source="S3 user guide, configuring MFA delete",
)

# --- versioning-suspended --------------------------------------------------------------------------------------------


def _versioning_suspended(e: Evidence) -> bool:
    """New versions are no longer kept; the old ones still are."""
    return e.verdict is Verdict.SUSPENDED


def _not_suspended(e: Evidence) -> bool:
    return e.verdict in {Verdict.PROTECTED, Verdict.UNPROTECTED, Verdict.EXEMPT}


def _asked_to_suspend(e: Evidence) -> bool:
    return _did(e, VERSIONING_CALL) and e.trigger.asked_status is Versioning.SUSPENDED


VERSIONING_SUSPENDED = Control(
    id="versioning-suspended",
    title="Versioning is suspended",
    severity=_always(Severity.HIGH),
    holds=_versioning_suspended,
    clears=_not_suspended,
    done_by=_asked_to_suspend,
    runbook="resume-versioning",
    refs=("Config s3-bucket-versioning-enabled",),
    source="S3 user guide, suspending versioning",
)

# --- mfa-delete-missing ----------------------------------------------------------------------------------------------


def _mfa_delete_missing(e: Evidence) -> bool:
    """The bucket carries the tag, MFA delete is not on, and neither of the two above is the case."""
    return e.verdict is Verdict.UNPROTECTED


MFA_DELETE_MISSING = Control(
    id="mfa-delete-missing",
    title="MFA delete is not on",
    severity=_always(Severity.HIGH),
    holds=_mfa_delete_missing,
    clears=_protected_or_exempt,
    done_by=_nobody,
    runbook="turn-mfa-delete-on",
    refs=("CIS AWS Foundations 2.1.2", "Security Hub S3.20", "Config s3-bucket-mfa-delete-enabled"),
    source="S3 user guide, configuring MFA delete",
)

# --- versioning-change-denied ----------------------------------------------------------------------------------------


def _versioning_change_denied(e: Evidence) -> bool:
    """Somebody tried to change the bucket's versioning and was refused; often an infrastructure tool's routine."""
    refused = e.trigger.event_name == VERSIONING_CALL and e.trigger.outcome is Outcome.DENIED
    return e.enrolled and believable(e) and refused


VERSIONING_CHANGE_DENIED = Control(
    id="versioning-change-denied",
    title="Versioning change refused",
    severity=_always(Severity.MEDIUM),
    holds=_versioning_change_denied,
    clears=None,
    done_by=_trigger_did_it,
    runbook="look-into-a-refused-change",
    refs=(),
    source="S3 user guide, configuring MFA delete",
)

# --- version-delete-denied -------------------------------------------------------------------------------------------


def _version_delete_denied(e: Evidence) -> bool:
    """Somebody named a version to delete for good and was refused, whatever the reason."""
    return _is_version_delete(e) and e.trigger.outcome is Outcome.DENIED


def _is_version_delete(e: Evidence) -> bool:
    return e.trigger.kind is TriggerKind.VERSION_DELETE and e.enrolled and believable(e)


VERSION_DELETE_DENIED = Control(
    id="version-delete-denied",
    title="Version delete refused",
    severity=_always(Severity.MEDIUM),
    holds=_version_delete_denied,
    clears=None,
    done_by=_trigger_did_it,
    runbook="look-into-a-refused-delete",
    refs=("Security Hub S3.22",),
    source="S3 user guide, deleting an object from an MFA delete-enabled bucket",
)

# --- version-deleted -------------------------------------------------------------------------------------------------


def _version_deleted(e: Evidence) -> bool:
    """A version was deleted for good; a delete without a version id only adds a delete marker and is not meant."""
    return _is_version_delete(e) and e.trigger.outcome is Outcome.DONE


VERSION_DELETED = Control(
    id="version-deleted",
    title="Version deleted for good",
    severity=_always(Severity.HIGH),
    holds=_version_deleted,
    clears=None,
    done_by=_trigger_did_it,
    runbook="look-into-a-version-delete",
    refs=("Security Hub S3.22",),
    source="S3 API reference, DeleteObject",
)

# --- bucket-deleted --------------------------------------------------------------------------------------------------


def _bucket_deleted(e: Evidence) -> bool:
    """A bucket that was judged before is gone, told by an event or missed by the sweep."""
    return isinstance(e.reading, Gone) and e.last is not None and not e.last.gone


def _asked_to_delete(e: Evidence) -> bool:
    return _did(e, "DeleteBucket")


BUCKET_DELETED = Control(
    id="bucket-deleted",
    title="Bucket is gone",
    severity=_always(Severity.CRITICAL),
    holds=_bucket_deleted,
    clears=None,
    done_by=_asked_to_delete,
    runbook="look-into-a-deleted-bucket",
    refs=(),
    source="S3 API reference, DeleteBucket",
)

# --- protection-tag-removed ------------------------------------------------------------------------------------------


def _protection_tag_removed(e: Evidence) -> bool:
    """A bucket that was judged before does not carry the protection tag any more; it stays judged."""
    return e.verdict is not None and isinstance(e.reading, BucketState) and not e.reading.tagged


def _tagged_again(e: Evidence) -> bool:
    return isinstance(e.reading, BucketState) and e.reading.tagged


def _changed_tags(e: Evidence) -> bool:
    return _did(e, *TAGGING_CALLS)


PROTECTION_TAG_REMOVED = Control(
    id="protection-tag-removed",
    title="Protection tag removed",
    severity=_always(Severity.HIGH),
    holds=_protection_tag_removed,
    clears=_tagged_again,
    done_by=_changed_tags,
    runbook="put-the-tag-back",
    refs=(),
    source="S3 API reference, PutBucketTagging",
)

# --- exception-set ---------------------------------------------------------------------------------------------------


def _exception_set(e: Evidence) -> bool:
    """An exception appeared, was lengthened or was removed; one that ends by itself is not meant."""
    if e.verdict is None or not isinstance(e.reading, BucketState):
        return False
    before, after = (e.last.exemption if e.last else None), e.reading.exemption
    if before is None or after is None:
        return before != after
    ends = exemption.end_of(before), exemption.end_of(after)
    return ends[1] is not None and (ends[0] is None or ends[1] > ends[0])


EXCEPTION_SET = Control(
    id="exception-set",
    title="Exception changed",
    severity=_always(Severity.MEDIUM),
    holds=_exception_set,
    clears=None,
    done_by=_changed_tags,
    runbook="look-into-an-exception",
    refs=(),
    source="docs/operations.md, exceptions",
)

# --- exception-invalid -----------------------------------------------------------------------------------------------


def _exception_invalid(e: Evidence) -> bool:
    """The exception's end cannot be read or is too far away, or it has no reason: it is none."""
    return e.verdict is not None and why_exception_invalid(e) is not None


def _exception_sound(e: Evidence) -> bool:
    return isinstance(e.reading, BucketState) and why_exception_invalid(e) is None


def why_exception_invalid(e: Evidence) -> str | None:
    """What is wrong with the exception on the bucket; None if nothing is, or there is none."""
    if not isinstance(e.reading, BucketState) or e.reading.exemption is None:
        return None
    return exemption.why_invalid(e.reading.exemption, e.now, e.longest_exemption)


EXCEPTION_INVALID = Control(
    id="exception-invalid",
    title="Exception is not valid",
    severity=_always(Severity.MEDIUM),
    holds=_exception_invalid,
    clears=_exception_sound,
    done_by=_changed_tags,
    runbook="look-into-an-exception",
    refs=(),
    source="docs/operations.md, exceptions",
)

# --- state-unverifiable ----------------------------------------------------------------------------------------------


def _state_unverifiable(e: Evidence) -> bool:
    """The guardrail was refused the read: neither protected nor missing."""
    return e.verdict is Verdict.UNVERIFIABLE


def _readable(e: Evidence) -> bool:
    return e.verdict is not None and e.verdict is not Verdict.UNVERIFIABLE


def _changed_policy(e: Evidence) -> bool:
    return _did(e, "PutBucketPolicy")


def _worse_when_it_was_readable(e: Evidence) -> Severity:
    return Severity.HIGH if e.last else Severity.MEDIUM


STATE_UNVERIFIABLE = Control(
    id="state-unverifiable",
    title="Bucket may not be read by the guardrail",
    severity=_worse_when_it_was_readable,
    holds=_state_unverifiable,
    clears=_readable,
    done_by=_changed_policy,
    runbook="let-the-guardrail-read",
    refs=(),
    source="IAM user guide, policy evaluation logic",
)

CONTROLS = (
    MFA_DELETE_DISABLED,
    VERSIONING_SUSPENDED,
    MFA_DELETE_MISSING,
    VERSIONING_CHANGE_DENIED,
    VERSION_DELETE_DENIED,
    VERSION_DELETED,
    BUCKET_DELETED,
    PROTECTION_TAG_REMOVED,
    EXCEPTION_SET,
    EXCEPTION_INVALID,
    STATE_UNVERIFIABLE,
)
BY_ID = {control.id: control for control in CONTROLS}

PROTECTION = (MFA_DELETE_DISABLED.id, VERSIONING_SUSPENDED.id, MFA_DELETE_MISSING.id)
"""Strongest first: a bucket has one of these at a time, the stronger supersedes the weaker."""
