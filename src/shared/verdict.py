"""The one meaning of "protected"."""

from datetime import datetime, timedelta

from shared import exemption
from shared.facts import (
    BucketState,
    Gone,
    GuardrailHealth,
    MfaDelete,
    Reading,
    RootState,
    Unreadable,
    Verdict,
    Versioning,
)


def of(reading: Reading, *, judged_before: bool, now: datetime, longest: timedelta) -> Verdict | None:
    """Judge a reading. None: not enrolled, so not judged.

    Enrolment is sticky: a bucket that we have judged before stays judged when its tag vanishes,
    because removing the tag is the first thing somebody does who wants to be unseen. An exception counts for `longest`.
    """
    if isinstance(reading, Gone | RootState | GuardrailHealth) or not (reading.tagged or judged_before):
        return None
    if isinstance(reading, Unreadable):
        return Verdict.UNVERIFIABLE
    verdict = _of_state(reading)
    exempt = exemption.is_in_force(reading.exemption, now=now, longest=longest)
    return Verdict.EXEMPT if exempt and verdict is Verdict.UNPROTECTED else verdict  # of nothing else, ever


def _of_state(state: BucketState) -> Verdict:
    if state.versioning is Versioning.SUSPENDED:
        return Verdict.SUSPENDED  # also with MFA delete on: new writes are no longer kept (S3 user guide)
    if state.versioning is Versioning.ENABLED and state.mfa_delete is MfaDelete.ENABLED:
        return Verdict.PROTECTED
    return Verdict.UNPROTECTED
