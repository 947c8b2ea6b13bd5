"""How many messages may go out, and when: pure arithmetic on what went out before.

SNS switches an e-mail subscription off above ten messages a second, and a person stops reading long before that.
Whatever may not go out now stays owed, and goes out in a later digest.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

SINGLES_A_RUN = 5
"""More than this in one run go out as one digest."""
SINGLES_AN_HOUR = 15
"""The rest of the hour's messages is kept for digests."""
MESSAGES_AN_HOUR = 20
DIGEST_EVERY = timedelta(minutes=10)
CRITICALS = 5
CRITICALS_WITHIN = timedelta(minutes=10)
CRITICAL_DIGEST_EVERY = timedelta(minutes=5)
HOUR = timedelta(hours=1)
AHEAD = timedelta(minutes=1)
"""No run takes places further ahead than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What went out lately: `messages` of the last hour, critical ones apart, which are outside that cap.

    `free_at`: when the next message may go out.
    """

    free_at: datetime | None = None
    messages: tuple[datetime, ...] = ()
    digest_at: datetime | None = None
    criticals: tuple[datetime, ...] = ()
    critical_digest_at: datetime | None = None

    @property
    def quiet_from(self) -> datetime | None:
        """When what went out until now will not matter any more; None if nothing did."""
        ends = [
            *(at + HOUR for at in self.messages[-1:]),
            *(at + CRITICALS_WITHIN for at in (*self.criticals[-1:], self.critical_digest_at) if at),
            *(at + DIGEST_EVERY for at in (self.digest_at,) if at),
            *(at for at in (self.free_at,) if at),
        ]
        return max(ends, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allotment:
    """What one run may send: how many critical alerts and others singly, whether a digest; the first one at `begin`."""

    criticals: int
    others: int
    digest: bool
    begin: datetime


def allot(
    pace: Pace, now: datetime, *, criticals: int, others: int, rest: int, gathers: bool, every: timedelta
) -> tuple[Allotment, Pace]:
    """Share out a run's messages and note them.

    criticals, others: how many want to go singly; rest: how many belong into a digest in any case. `gathers`: a sweep
    sends what others left, so that a digest may be as short as one line; any other run only when it has too many.
    """
    pace = _of_late(pace, now)
    in_a_storm = gathers and not _is_past(pace.critical_digest_at, CRITICALS_WITHIN, now)
    single_criticals = 0 if in_a_storm else min(criticals, SINGLES_A_RUN, CRITICALS - len(pace.criticals))
    room = min(SINGLES_A_RUN - single_criticals, SINGLES_AN_HOUR - len(pace.messages))
    single_others = max(0, min(others, room))
    is_wanted = gathers or criticals + others > SINGLES_A_RUN
    left = criticals + others + rest - single_criticals - single_others
    as_critical = criticals > single_criticals and _is_past(pace.critical_digest_at, CRITICAL_DIGEST_EVERY, now)
    has_room = len(pace.messages) + single_others < MESSAGES_AN_HOUR
    as_other = others + rest > single_others and has_room and _is_past(pace.digest_at, DIGEST_EVERY, now)
    digest = is_wanted and left > 0 and (as_critical or as_other)
    begin = max(now, pace.free_at or now)
    count = single_criticals + single_others + digest
    allotment = Allotment(criticals=single_criticals, others=single_others, digest=digest, begin=begin)
    return allotment, replace(
        pace,
        free_at=begin + count * every,
        criticals=pace.criticals + (now,) * single_criticals,
        messages=pace.messages + (now,) * (single_others + (digest and not as_critical)),
        digest_at=now if digest and not as_critical else pace.digest_at,
        critical_digest_at=now if digest and as_critical else pace.critical_digest_at,
    )


def _of_late(pace: Pace, now: datetime) -> Pace:
    """Only what can be so: times ahead, which somebody wrote into the table, must not hold alerts back for ever."""
    return replace(
        pace,
        free_at=min(pace.free_at, now + AHEAD) if pace.free_at else None,
        messages=tuple(at for at in pace.messages if -AHEAD <= now - at < HOUR),
        criticals=tuple(at for at in pace.criticals if -AHEAD <= now - at < CRITICALS_WITHIN),
        digest_at=_if_past(pace.digest_at, now),
        critical_digest_at=_if_past(pace.critical_digest_at, now),
    )


def _if_past(at: datetime | None, now: datetime) -> datetime | None:
    return at if at is None or at <= now + AHEAD else None


def _is_past(at: datetime | None, span: timedelta, now: datetime) -> bool:
    return at is None or now - at >= span
