"""Messages of the spoke queue -> which spoke: its hello, as EventBridge forwards it, or its turn in a sweep."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared import parse, quoting
from shared.facts import BadEvent, Spoke


def turn(spoke: Spoke) -> str:
    """The message by which the sweep gives a spoke its turn."""
    told = {"account": spoke.account, "region": spoke.region, "leads": spoke.leads}
    return json.dumps({"spoke": told | {"heard_at": spoke.heard_at.isoformat()}})


def message(body: str, now: datetime) -> tuple[Spoke, bool]:
    """Which spoke, and whether this is its hello. Raises BadEvent for anything else.

    A hello is what EventBridge makes of the spoke's schedule: its account and Region are those of the envelope, which
    nobody can forge, and no customer may send an event whose source is `aws.events`.
    Source: EventBridge user guide, scheduled rules
    """
    event = parse.loaded(body)
    told = event.get("spoke")
    if isinstance(told, Mapping):
        return _spoke(told, _heard(parse.text(told, "heard_at")), leads=told.get("leads") is True), False
    if (event.get("source"), event.get("detail-type")) != ("aws.events", "Scheduled Event"):
        raise BadEvent("the message is neither a spoke's hello nor its turn in a sweep")
    return _spoke(event, now, leads=False), True


def _spoke(told: Mapping[str, Any], heard_at: datetime, *, leads: bool) -> Spoke:
    account, region = parse.text(told, "account"), parse.text(told, "region")
    if not (parse.ACCOUNT.fullmatch(account) and parse.REGION.fullmatch(region)):
        raise BadEvent(f"{quoting.quoted(account)} in {quoting.quoted(region)} is no account and Region")
    return Spoke(account=account, region=region, heard_at=heard_at, leads=leads)


def _heard(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise BadEvent(f"heard_at {quoting.quoted(text)} is no time") from None
