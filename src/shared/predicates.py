"""What several controls ask of the evidence."""

from collections.abc import Callable

from shared.evidence import Evidence
from shared.facts import TAGGING_CALLS, BucketState, MfaDelete, Outcome, Verdict
from shared.finding import Severity


def always(severity: Severity) -> Callable[[Evidence], Severity]:
    """The same severity, whatever the evidence."""
    return lambda _evidence: severity


def nobody(_evidence: Evidence) -> bool:
    """No event does this: it is found by looking."""
    return False


def trigger_did_it(_evidence: Evidence) -> bool:
    """A deed is always its trigger's."""
    return True


def believable(e: Evidence) -> bool:
    """Whether the trigger is recent enough to be taken at its word."""
    return e.is_recent


def did(e: Evidence, *calls: str) -> bool:
    """The trigger is one of these calls, and it succeeded."""
    return e.trigger.event_name in calls and e.trigger.outcome is Outcome.DONE


def done_by_call(*calls: str) -> Callable[[Evidence], bool]:
    """The trigger is one of these calls, and it succeeded, as a control's `done_by`."""
    return lambda e: did(e, *calls)


changed_tags = done_by_call(*TAGGING_CALLS)
"""The trigger changed the bucket's tags, by any of the tagging APIs."""


def protected_or_exempt(e: Evidence) -> bool:
    """MFA delete is on, or need not be."""
    return e.verdict in {Verdict.PROTECTED, Verdict.EXEMPT}


def mfa_delete_on(e: Evidence) -> bool:
    """S3 says so, whatever the versioning is."""
    return isinstance(e.reading, BucketState) and e.reading.mfa_delete is MfaDelete.ENABLED
