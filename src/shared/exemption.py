"""Dated, reasoned exceptions: two tags on a bucket, which end by themselves."""

import re
from datetime import UTC, datetime, timedelta

from shared.facts import Exemption

UNTIL_TAG = "mfa-delete-exempt-until"
REASON_TAG = "mfa-delete-exempt-reason"

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MINUTE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}Z")


def end_of(exemption: Exemption) -> datetime | None:
    """When it ends, aware UTC; a date is inclusive. None if it is not `2026-12-01` or `2026-12-01T14:30Z`."""
    is_day = bool(_DAY.fullmatch(exemption.until))
    if not is_day and not _MINUTE.fullmatch(exemption.until):
        return None
    try:
        return datetime.fromisoformat(exemption.until).replace(tzinfo=UTC) + timedelta(days=is_day)
    except (ValueError, OverflowError):  # the 31st of a shorter month; the last day that there is
        return None


def is_in_force(exemption: Exemption | None, *, now: datetime, longest: timedelta) -> bool:
    """Whether it quiets anything now."""
    end = end_of(exemption) if exemption else None
    return end is not None and now < end and exemption is not None and why_invalid(exemption, now, longest) is None


def why_invalid(exemption: Exemption, now: datetime, longest: timedelta) -> str | None:
    """What is wrong with it, None if nothing is. One that has ended is not wrong, only over."""
    end = end_of(exemption)
    if end is None:
        return f"{UNTIL_TAG} is missing or neither a date (2026-12-01) nor a minute (2026-12-01T14:30Z)"
    if end - now > longest + timedelta(days=1):
        return f"{UNTIL_TAG} is more than {longest.days} days away"
    return None if exemption.reason.strip() else f"{REASON_TAG} is missing or empty"
