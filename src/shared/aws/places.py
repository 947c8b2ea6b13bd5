"""Places for messages: what is known of the alert topic, and what a commit may take of its pace."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime

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
    return json.dumps(asdict(pace), default=datetime.isoformat)


def pace_from(doc: str) -> Pace:
    """As it was before it was stored."""
    data = json.loads(doc)
    for name in ("messages", "criticals"):
        data[name] = tuple(map(datetime.fromisoformat, data[name]))
    for name in ("free_at", "digest_at", "critical_digest_at"):
        data[name] = datetime.fromisoformat(data[name]) if data[name] else None
    return Pace(**data)
