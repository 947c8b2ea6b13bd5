"""What the last drill says of the way from S3 to us: what did not come back in time is a link that is broken."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from shared import quoting
from shared.facts import CALLED, CHANGE, DELETE, Condition, Drill, State
from shared.settings import Settings

LIMIT = timedelta(minutes=30)
EVERY = timedelta(days=1)
HALVES = {CHANGE: "its change of versioning that changes nothing", DELETE: "its refused version delete"}


def conditions(drill: Drill | None, settings: Settings, now: datetime, waiting: Sequence[str]) -> Iterator[Condition]:
    """What the last drill says of the way from S3 to us. waiting: queues in which something waits."""
    if drill is None or not settings.canary_bucket:
        return
    name = f"the drill of {quoting.minute(drill.at)}"
    mend = f"{settings.command} doctor"
    overdue = [half for half in drill.missing if now - drill.at > LIMIT]
    for half in overdue:
        last = f"messages in {', '.join(waiting)}" if waiting else _last_link(drill.id_of(half))
        yield Condition(
            about="drill",
            state=State.BAD,
            problem=f"drill-{half}-lost",
            meaning=f"{name}: {HALVES[half]} has not come back as an event; last seen: {last}",
            mend=mend,
        )
    if not overdue and now - drill.at > 2 * EVERY:
        meaning = f"{name} was the last; one is due every day"
        yield Condition(about="drill", state=State.BAD, problem="drill-missing", meaning=meaning, mend=mend)
    elif not overdue:
        yield Condition(about="drill", state=State.FINE, meaning=f"{name} {_came(drill)}")


def _came(drill: Drill) -> str:
    lags = ", ".join(f"{half} after {lag.total_seconds():.0f} s" for half, lag in drill.lags.items())
    return f"came back ({lags})" if not drill.missing else "is on its way"


def _last_link(request_id: str) -> str:
    if request_id == CALLED:
        return "the drill function, before S3 answered"
    return f"S3, which answered (request {request_id})"
