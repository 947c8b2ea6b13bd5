"""Controls of deeds: what somebody did, or tried. It cannot be undone; only a person can acknowledge it."""

from datetime import timedelta

from shared import exemption
from shared.evidence import Control, Evidence
from shared.facts import (
    VERSIONING_CALL,
    BucketState,
    Cause,
    Gone,
    Outcome,
    TriggerKind,
    Verdict,
)
from shared.finding import Severity
from shared.predicates import always, believable, changed_tags, done_by_call, trigger_did_it

PROOF_PREFIX = "mfa-delete-proof/"
"""Where the runbook's last step puts its object (runbook/RUNBOOK.md, "Prove it")."""
PROOF_WITHIN = timedelta(minutes=15)
"""After the bucket was seen to be protected."""

# --- versioning-change-denied ----------------------------------------------------------------------------------------


def _versioning_change_denied(e: Evidence) -> bool:
    """Somebody tried to change the bucket's versioning and was refused; often an infrastructure tool's routine."""
    refused = e.trigger.event_name == VERSIONING_CALL and e.trigger.outcome is Outcome.DENIED
    return e.enrolled and believable(e) and refused


VERSIONING_CHANGE_DENIED = Control(
    id="versioning-change-denied",
    title="Versioning change refused",
    severity=always(Severity.MEDIUM),
    holds=_versioning_change_denied,
    clears=None,
    done_by=trigger_did_it,
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


def names_proof(e: Evidence) -> bool:
    """One version under the prefix, named by root, soon after this bucket was turned on: the runbook's proof."""
    trigger = e.trigger
    by_root = trigger.principal is not None and trigger.principal.is_root
    one = trigger.count == 1 and len(trigger.objects) == 1 and trigger.objects[0].key.startswith(PROOF_PREFIX)
    return by_root and one and _just_turned_on(e)


def _just_turned_on(e: Evidence) -> bool:
    if e.last is None or e.verdict is not Verdict.PROTECTED:
        return False
    return e.last.verdict is not Verdict.PROTECTED or e.trigger.at - e.last.since <= PROOF_WITHIN


def is_proof(e: Evidence) -> bool:
    """The refusal that the runbook asks for: it shows that refused version deletes are seen."""
    return names_proof(e) and e.trigger.cause is Cause.MFA


def _more_when_there_are_many(e: Evidence) -> Severity:
    return Severity.HIGH if e.trigger.count >= e.rules.threshold else Severity.MEDIUM


VERSION_DELETE_DENIED = Control(
    id="version-delete-denied",
    title="Version delete refused",
    severity=_more_when_there_are_many,
    holds=_version_delete_denied,
    clears=None,
    done_by=trigger_did_it,
    runbook="look-into-a-refused-delete",
    refs=("Security Hub S3.22",),
    source="S3 user guide, deleting an object from an MFA delete-enabled bucket",
)

# --- version-deleted -------------------------------------------------------------------------------------------------


def _version_deleted(e: Evidence) -> bool:
    """A version was deleted for good; a delete without a version id only adds a delete marker and is not meant."""
    done = _is_version_delete(e) and e.trigger.outcome is Outcome.DONE
    return done and not e.trigger.restores and not _removes_proof(e)


def _removes_proof(e: Evidence) -> bool:
    """The object of the proof and no other; before its refusal was seen, any one under the prefix."""
    proofs = [f for f in e.memory.findings if f.is_proof]
    return names_proof(e) and (not proofs or any(e.trigger.objects[0] in f.objects for f in proofs))


VERSION_DELETED = Control(
    id="version-deleted",
    title="Version deleted for good",
    severity=always(Severity.HIGH),
    holds=_version_deleted,
    clears=None,
    done_by=trigger_did_it,
    runbook="look-into-a-version-delete",
    refs=("Security Hub S3.22",),
    source="S3 API reference, DeleteObject",
)

# --- bucket-deleted --------------------------------------------------------------------------------------------------


def _bucket_deleted(e: Evidence) -> bool:
    """A bucket that was judged before is gone, told by an event or missed by the sweep; or it was, and is a new one."""
    last = e.memory.last
    if last is None:
        return e.memory.hides_last and isinstance(e.reading, Gone)
    if not last.gone:
        return isinstance(e.reading, Gone) or e.remade
    nameless = any(f.control == "bucket-deleted" and f.is_open and f.principal is None for f in e.memory.findings)
    return isinstance(e.reading, Gone) and nameless and believable(e) and _asked_to_delete(e)


_asked_to_delete = done_by_call("DeleteBucket")


BUCKET_DELETED = Control(
    id="bucket-deleted",
    title="Bucket is gone",
    severity=always(Severity.CRITICAL),
    holds=_bucket_deleted,
    clears=None,
    done_by=_asked_to_delete,
    runbook="look-into-a-deleted-bucket",
    refs=(),
    source="S3 API reference, DeleteBucket",
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
    severity=always(Severity.MEDIUM),
    holds=_exception_set,
    clears=None,
    done_by=changed_tags,
    runbook="look-into-an-exception",
    refs=(),
    source="docs/operations.md, exceptions",
)
