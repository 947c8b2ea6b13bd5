"""Controls of states: what a bucket, or the account's root user, is. They end when it is no longer so."""

from datetime import timedelta

from shared import exemption, expiry
from shared.evidence import Control, Evidence, Rules
from shared.facts import (
    VERSIONING_CALL,
    BucketState,
    Expiry,
    GuardrailHealth,
    Lifecycle,
    MfaDelete,
    RootState,
    Unreadable,
    Verdict,
    Versioning,
)
from shared.finding import Severity
from shared.predicates import (
    always,
    believable,
    changed_tags,
    did,
    done_by_call,
    mfa_delete_on,
    nobody,
    protected_or_exempt,
)

READ_LIFECYCLE = "s3:GetLifecycleConfiguration"

# --- mfa-delete-disabled ---------------------------------------------------------------------------------------------


def _root_disables(e: Evidence) -> bool:
    """Root's own successful Disabled. A role can only send it where MFA delete is off already (S3 user guide)."""
    root = e.trigger.principal is not None and e.trigger.principal.is_root
    return did(e, VERSIONING_CALL) and root and e.trigger.asked_mfa_delete is MfaDelete.DISABLED


def _drifted(e: Evidence) -> bool:
    """Protected when last read, MFA delete off now, whatever woke us."""
    was_on = e.last is not None and e.last.verdict is Verdict.PROTECTED
    return was_on and isinstance(e.reading, BucketState) and not mfa_delete_on(e)


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
    severity=always(Severity.CRITICAL),
    holds=_mfa_delete_disabled,
    clears=protected_or_exempt,
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
    """Versioning is on."""
    return e.verdict in {Verdict.PROTECTED, Verdict.UNPROTECTED, Verdict.EXEMPT}


def _asked_to_suspend(e: Evidence) -> bool:
    return did(e, VERSIONING_CALL) and e.trigger.asked_status is Versioning.SUSPENDED


VERSIONING_SUSPENDED = Control(
    id="versioning-suspended",
    title="Versioning is suspended",
    severity=always(Severity.HIGH),
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
    severity=always(Severity.HIGH),
    holds=_mfa_delete_missing,
    clears=protected_or_exempt,
    done_by=nobody,
    runbook="turn-mfa-delete-on",
    refs=("CIS AWS Foundations 2.1.2", "Security Hub S3.20", "Config s3-bucket-mfa-delete-enabled"),
    source="S3 user guide, configuring MFA delete",
)

# --- protection-tag-removed ------------------------------------------------------------------------------------------


def _protection_tag_removed(e: Evidence) -> bool:
    """A bucket that was judged before does not carry the protection tag any more; it stays judged."""
    return e.verdict is not None and isinstance(e.reading, BucketState) and not e.reading.tagged


def _tagged_again(e: Evidence) -> bool:
    """The bucket carries the tag."""
    return isinstance(e.reading, BucketState) and e.reading.tagged


PROTECTION_TAG_REMOVED = Control(
    id="protection-tag-removed",
    title="Protection tag removed",
    severity=always(Severity.HIGH),
    holds=_protection_tag_removed,
    clears=_tagged_again,
    done_by=changed_tags,
    runbook="put-the-tag-back",
    refs=(),
    source="S3 API reference, PutBucketTagging",
)

# --- lifecycle-conflict ----------------------------------------------------------------------------------------------


def _lifecycle(e: Evidence) -> Lifecycle | None:
    """The lifecycle configuration, if it was looked at."""
    if isinstance(e.reading, BucketState) and isinstance(e.reading.lifecycle, Lifecycle):
        return e.reading.lifecycle
    return None


def _lifecycle_conflict(e: Evidence) -> bool:
    """A lifecycle configuration stands on an unprotected bucket: S3 will refuse to turn MFA delete on."""
    found = _lifecycle(e)
    return e.verdict is Verdict.UNPROTECTED and found is not None and bool(found.rules)


def _no_conflict(e: Evidence) -> bool:
    """There is no lifecycle configuration, or MFA delete is on, or need not be."""
    found = _lifecycle(e)
    return protected_or_exempt(e) or (found is not None and not found.rules)


LIFECYCLE_CONFLICT = Control(
    id="lifecycle-conflict",
    title="A lifecycle configuration is in the way",
    severity=always(Severity.LOW),
    holds=_lifecycle_conflict,
    clears=_no_conflict,
    done_by=nobody,
    runbook="turn-mfa-delete-on",
    refs=("Security Hub S3.10", "Security Hub S3.13"),
    source="S3 user guide, configuring MFA delete",
    grace=lambda _rules: None,
)

# --- lifecycle-expires-versions --------------------------------------------------------------------------------------


def _lifecycle_expires_versions(e: Evidence) -> bool:
    """A lifecycle rule that deletes versions for good appeared on a judged bucket, or was shortened."""
    return e.verdict is not None and bool(new_expiries(e))


def new_expiries(e: Evidence) -> tuple[Expiry, ...]:
    """The rules that delete more, or sooner, than was accepted."""
    found = _lifecycle(e)
    return expiry.worse(found.expiries, e.last.expiries) if found and e.last else ()


def accepted_expiries(e: Evidence) -> tuple[Expiry, ...] | None:
    """What counts as accepted from now on: what was there at first, and whatever deletes less; None: never looked."""
    found, before = _lifecycle(e), e.last.expiries if e.last else None
    if mfa_delete_on(e):
        return ()  # S3 accepts no lifecycle configuration then
    if found is None or new_expiries(e):
        return before
    return found.expiries


def _no_new_expiries(e: Evidence) -> bool:
    """The rule is gone, or deletes no more than was accepted before; or MFA delete is on."""
    return mfa_delete_on(e) or (_lifecycle(e) is not None and not new_expiries(e))


LIFECYCLE_EXPIRES_VERSIONS = Control(
    id="lifecycle-expires-versions",
    title="Lifecycle rule deletes versions",
    severity=always(Severity.HIGH),
    holds=_lifecycle_expires_versions,
    clears=_no_new_expiries,
    done_by=done_by_call("PutBucketLifecycle"),
    runbook="remove-the-lifecycle-rule",
    refs=(),
    source="S3 user guide, lifecycle configuration elements",
)

# --- exception-invalid -----------------------------------------------------------------------------------------------


def _exception_invalid(e: Evidence) -> bool:
    """The exception's end cannot be read or is too far away, or it has no reason: it is none."""
    return e.verdict is not None and why_exception_invalid(e) is not None


def _exception_sound(e: Evidence) -> bool:
    """The exception is valid, or gone."""
    return isinstance(e.reading, BucketState) and why_exception_invalid(e) is None


def why_exception_invalid(e: Evidence) -> str | None:
    """What is wrong with the exception on the bucket; None if nothing is, or there is none."""
    if not isinstance(e.reading, BucketState) or e.reading.exemption is None:
        return None
    return exemption.why_invalid(e.reading.exemption, e.now, e.rules.longest_exemption)


EXCEPTION_INVALID = Control(
    id="exception-invalid",
    title="Exception is not valid",
    severity=always(Severity.MEDIUM),
    holds=_exception_invalid,
    clears=_exception_sound,
    done_by=changed_tags,
    runbook="look-into-an-exception",
    refs=(),
    source="docs/operations.md, exceptions",
)

# --- state-unverifiable ----------------------------------------------------------------------------------------------


def _state_unverifiable(e: Evidence) -> bool:
    """The guardrail was refused the read: neither protected nor missing."""
    if isinstance(e.reading, GuardrailHealth):
        return bool(e.reading.unknown)
    return e.verdict is Verdict.UNVERIFIABLE or (e.verdict is not None and unreadable(e) is not None)


def unreadable(e: Evidence) -> Unreadable | None:
    """What was refused: the bucket's state, or only its lifecycle configuration."""
    if isinstance(e.reading, BucketState):
        return e.reading.lifecycle if isinstance(e.reading.lifecycle, Unreadable) else None
    return e.reading if isinstance(e.reading, Unreadable) else None


def _readable(e: Evidence) -> bool:
    """What was refused can be read."""
    if isinstance(e.reading, GuardrailHealth):
        return not e.reading.unknown
    if not isinstance(e.reading, BucketState) or e.verdict is None:
        return isinstance(e.reading, RootState)
    # Where the lifecycle configuration was refused, it must have been read; with MFA delete on there is none.
    refused = any(f.is_open and READ_LIFECYCLE in f.detail for f in e.memory.findings)
    return unreadable(e) is None and (not refused or _lifecycle(e) is not None or mfa_delete_on(e))


def _worse_when_it_was_readable(e: Evidence) -> Severity:
    if isinstance(e.reading, GuardrailHealth):
        # An organization's trail is said once; policies that could be read before are another matter.
        was_known = e.memory.watched is not None and bool(e.memory.watched.policies)
        hidden = was_known and any(each.about == "policies" for each in e.reading.unknown)
        return Severity.HIGH if hidden else Severity.LOW
    return Severity.HIGH if e.last else Severity.MEDIUM


STATE_UNVERIFIABLE = Control(
    id="state-unverifiable",
    title="Bucket may not be read by the guardrail",
    severity=_worse_when_it_was_readable,
    holds=_state_unverifiable,
    clears=_readable,
    done_by=done_by_call("PutBucketPolicy"),
    runbook="let-the-guardrail-read",
    refs=(),
    source="IAM user guide, policy evaluation logic",
)

# --- root-access-key-present -----------------------------------------------------------------------------------------


def _root_access_key_present(e: Evidence) -> bool:
    """The account's root user has had an access key for longer than the grace period: the runbook's last step."""
    return isinstance(e.reading, RootState) and e.reading.access_key


def _no_root_access_key(e: Evidence) -> bool:
    """Root has no access key."""
    return isinstance(e.reading, RootState) and not e.reading.access_key


def _root_key_grace(rules: Rules) -> timedelta:
    return rules.root_key_grace


ROOT_ACCESS_KEY_PRESENT = Control(
    id="root-access-key-present",
    title="Root has an access key",
    severity=always(Severity.HIGH),
    holds=_root_access_key_present,
    clears=_no_root_access_key,
    done_by=nobody,
    runbook="delete-the-root-access-key",
    refs=("CIS AWS Foundations 1.3", "Security Hub IAM.4", "Config iam-root-access-key-check"),
    source="IAM API reference, GetAccountSummary",
    grace=_root_key_grace,
)

# --- root-mfa-absent -------------------------------------------------------------------------------------------------


def _root_mfa_absent(e: Evidence) -> bool:
    """No device of root's is known that shows six-digit codes: the runbook could not be followed today."""
    return isinstance(e.reading, RootState) and not e.reading.codes


def _root_has_codes(e: Evidence) -> bool:
    """Root has such a device."""
    return isinstance(e.reading, RootState) and e.reading.codes


def _low_where_root_is_shut_or_has_a_device(e: Evidence) -> Severity:
    """A device that is not listed may be a hardware token; a root without credentials was removed on purpose."""
    root = e.reading
    is_mild = isinstance(root, RootState) and (root.device or not (root.password or root.access_key))
    return Severity.LOW if is_mild else Severity.HIGH


ROOT_MFA_ABSENT = Control(
    id="root-mfa-absent",
    title="Root has no device that shows codes",
    severity=_low_where_root_is_shut_or_has_a_device,
    holds=_root_mfa_absent,
    clears=_root_has_codes,
    done_by=nobody,
    runbook="give-root-a-device",
    refs=("CIS AWS Foundations 1.4", "Security Hub IAM.9", "Config root-account-mfa-enabled"),
    source="IAM API reference, GetAccountSummary and ListVirtualMFADevices",
)
