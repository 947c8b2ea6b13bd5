"""How many messages may go out: five a run, fifteen singly and twenty in all an hour, critical ones apart."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.pace import Allotment, Pace, allot

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def ask(
    pace: Pace, now: datetime, *, criticals: int = 0, others: int = 0, rest: int = 0, gathers: bool = False
) -> tuple[Allotment, Pace]:
    """A run's question."""
    return allot(pace, now, criticals=criticals, others=others, rest=rest, gathers=gathers, every=SECOND)


def test_a_run_sends_five_singly_and_one_digest() -> None:
    allotment, _ = ask(Pace(), START, others=12, gathers=True)
    assert (allotment.others, allotment.digest, allotment.begin) == (5, True, START)


def test_the_worst_come_first() -> None:
    allotment, _ = ask(Pace(), START, criticals=4, others=4, gathers=True)
    assert (allotment.criticals, allotment.others, allotment.digest) == (4, 1, True)


def test_one_message_a_second_whoever_sends() -> None:
    _, pace = ask(Pace(), START, others=3)
    allotment, _ = ask(pace, START + SECOND, others=1)
    assert allotment.begin == START + 3 * SECOND


def test_an_event_that_gets_no_place_waits_for_a_sweep() -> None:
    pace = Pace(messages=(START,) * 15)
    allotment, _ = ask(pace, START + SECOND, others=1)
    assert (allotment.others, allotment.digest) == (0, False)
    allotment, _ = ask(pace, START + SECOND, others=1, gathers=True)
    assert (allotment.others, allotment.digest) == (0, True)
    full = Pace(messages=(START,) * 20)
    assert not ask(full, START + SECOND, others=1, gathers=True)[0].digest
    assert ask(full, START + timedelta(hours=1), others=1, gathers=True)[0].others == 1


def test_critical_alerts_are_outside_the_cap_five_within_ten_minutes() -> None:
    pace = Pace(messages=(START,) * 20)
    for _ in range(5):
        allotment, pace = ask(pace, START, criticals=1)
        assert allotment.criticals == 1
    assert ask(pace, START, criticals=1)[0].criticals == 0
    assert ask(pace, START + timedelta(minutes=10), criticals=1)[0].criticals == 1


def test_further_critical_alerts_are_a_digest_every_five_minutes() -> None:
    pace = Pace(criticals=(START,) * 5)
    allotment, pace = ask(pace, START + 4 * SECOND, criticals=3, gathers=True)
    assert (allotment.criticals, allotment.digest) == (0, True)
    assert not ask(pace, START + timedelta(minutes=4), criticals=9, gathers=True)[0].digest
    allotment, pace = ask(pace, START + timedelta(minutes=6), criticals=9, gathers=True)
    assert (allotment.criticals, allotment.digest) == (0, True)
    allotment, _ = ask(pace, START + timedelta(minutes=12), criticals=9, gathers=True)
    assert (allotment.criticals, allotment.digest) == (0, True)  # still the same storm: no five singles again


RUNS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 8), st.integers(0, 60), st.integers(0, 3), st.booleans()),
    max_size=60,
)


@given(RUNS)
def test_never_more_than_the_caps_whatever_comes(runs: list[tuple[int, int, int, int, bool]]) -> None:
    now, pace = START, Pace()
    sent: list[tuple[datetime, bool]] = []
    starts: list[datetime] = []
    for later_s, criticals, others, rest, gathers in runs:
        now += timedelta(seconds=later_s)
        allotment, pace = ask(pace, now, criticals=criticals, others=others, rest=rest, gathers=gathers)
        as_critical = allotment.digest and criticals > allotment.criticals and pace.critical_digest_at == now
        assert allotment.criticals + allotment.others <= 5
        sent += [(now, True)] * (allotment.criticals + as_critical)
        sent += [(now, False)] * (allotment.others + (allotment.digest and not as_critical))
        count = allotment.criticals + allotment.others + allotment.digest
        starts += [allotment.begin + number * SECOND for number in range(count)]
    for at, _ in sent:
        hour = [each for each, critical in sent if not critical and timedelta() <= each - at < timedelta(hours=1)]
        assert len(hour) <= 20
        ten = [each for each, critical in sent if critical and timedelta() <= each - at < timedelta(minutes=10)]
        assert len(ten) <= 5 + 2 + 1  # five singly and a digest every five minutes, at both ends
    assert all(later - earlier >= SECOND for earlier, later in itertools.pairwise(starts))


def test_times_ahead_that_somebody_wrote_into_the_table_hold_nothing_back() -> None:
    ahead = START + timedelta(days=365)
    forged = Pace(
        free_at=ahead, messages=(ahead,) * 20, digest_at=ahead, criticals=(ahead,) * 5, critical_digest_at=ahead
    )
    allotment, after = ask(forged, START, criticals=1, others=1, gathers=True)
    assert (allotment.criticals, allotment.others) == (1, 1)
    assert allotment.begin <= START + timedelta(minutes=1)
    assert after.free_at is not None
    assert after.free_at < START + timedelta(minutes=2)
