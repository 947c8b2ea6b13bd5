"""Places for messages: what is known of the alert topic, and what a commit may take of its pace."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.aws.documents import dump
from shared.pace import Allotment, Pace


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTopic:
    """What is known of the alert topic.

    confirmed: it had a confirmed subscription when the sweep last looked; False if it never did.
    unlogged: whose deletes the trails leave out, by the last look at the guardrail itself.
    """

    confirmed: bool
    pace: Pace
    pace_doc: str
    unlogged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Places for messages, to be taken in the transaction that owes them; `pace` is what they make of the pace.

    topic: as it was read; None if nobody did: then they are taken only if somebody listens, nothing went out lately,
    and nobody's deletes are left out of the trails.
    """

    topic: KnownTopic | None
    allotment: Allotment
    pace: Pace

    @property
    def taken(self) -> KnownTopic:
        """What is known of the topic once they are taken."""
        unlogged = self.topic.unlogged if self.topic else ()
        return KnownTopic(confirmed=True, pace=self.pace, pace_doc=pace_doc(self.pace), unlogged=unlogged)


def pace_doc(pace: Pace) -> str:
    """As it is stored; equal documents are equal paces."""
    return dump(pace)


def topic_from(item: Mapping[str, Any]) -> KnownTopic:
    """What its item in the table says, in DynamoDB's types; nobody listens where there is none."""
    doc = item.get("pace", {}).get("S", "")
    confirmed = bool(item.get("confirmed", {}).get("BOOL", False))
    unlogged = tuple(each["S"] for each in item.get("not_logged", {}).get("L", []) if "S" in each)
    return KnownTopic(confirmed=confirmed, pace=_pace_from(doc), pace_doc=doc, unlogged=unlogged)


def _pace_from(doc: str) -> Pace:
    """As it was before it was stored. What is no pace, which somebody wrote into the table, holds no alert back."""
    try:
        data = json.loads(doc)
        for name in ("messages", "criticals"):
            data[name] = tuple(map(_time, data[name]))
        for name in ("free_at", "digest_at", "critical_digest_at"):
            data[name] = _time(data[name]) if data[name] else None
        return Pace(**data)
    except Exception:  # noqa: BLE001  # whatever is wrong with it
        return Pace()


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
