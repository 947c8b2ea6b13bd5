"""Lifecycle configurations as far as they matter here: any of them blocks MFA delete, some delete versions for good."""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.facts import Expiry, Lifecycle, Versioning


def lifecycle_of(rules: Iterable[Mapping[str, Any]], versioning: Versioning) -> Lifecycle:
    """Read the rules of a lifecycle configuration, in the members of the S3 API, which CloudTrail keeps.

    A rule that is switched off deletes nothing, but is in the way of MFA delete all the same.
    Source: S3 user guide, "Lifecycle configuration elements"
    """
    known = list(rules)
    expiries = (_expiry(rule, versioning) for rule in known if rule.get("Status") == "Enabled")
    return Lifecycle(
        rules=tuple(_name(rule) for rule in known),
        expiries=tuple(expiry for expiry in expiries if expiry is not None),
    )


def worse(expiries: tuple[Expiry, ...], before: tuple[Expiry, ...] | None) -> tuple[Expiry, ...]:
    """Those that are new or shorter than they were; none where nothing is known of before."""
    if before is None:
        return ()
    days = {expiry.rule: expiry.days for expiry in before}
    return tuple(expiry for expiry in expiries if expiry.days < days.get(expiry.rule, expiry.days + 1))


def _expiry(rule: Mapping[str, Any], versioning: Versioning) -> Expiry | None:
    """With versioning on, the expiration of current versions only adds delete markers; else it deletes for good."""
    spans = [_days(rule.get("NoncurrentVersionExpiration"), "NoncurrentDays")]
    if versioning is not Versioning.ENABLED:
        spans.append(_days(rule.get("Expiration"), "Days"))
    found = [days for days in spans if days is not None]
    return Expiry(rule=_name(rule), days=min(found)) if found else None


def _days(action: object, member: str) -> int | None:
    """Days that a version is kept; a date counts as no time at all. None if the action deletes no version."""
    if not isinstance(action, Mapping):
        return None
    if "Date" in action:
        return 0
    text = str(action.get(member, ""))
    return int(text) if text.isascii() and text.isdigit() else None


def _name(rule: Mapping[str, Any]) -> str:
    return str(rule.get("ID", "(without id)"))[:255]
