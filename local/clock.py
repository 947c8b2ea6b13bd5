"""A clock tests can move: codes, schedules and CloudWatch follow it, nothing else (signatures, queues: real time)."""

import threading
import time
from collections.abc import Callable

from local import emulator


class Clock:
    """Real time plus an offset; only ever moved forward."""

    def __init__(self) -> None:
        self.offset_s = 0.0
        self._moves: list[tuple[float, float]] = []

    # ministack's scheduler calls `time.sleep` on what stands in for the module (set before `time` is a method here).
    sleep = staticmethod(time.sleep)

    def time(self) -> float:
        return time.time() + self.offset_s

    def moved(self, real: float) -> float:
        """What this clock showed at a real time, by the moves made until then."""
        return real + next((offset for since, offset in reversed(self._moves) if since <= real), 0.0)

    def advance(self, seconds: float) -> None:
        """Move forward and fire what became due."""
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        self.offset_s += seconds
        self._moves.append((time.time(), self.offset_s))
        emulator.scheduler._tick_schedules()
        emulator.eventbridge._tick_scheduled_rules()


def install(clock: Clock) -> None:
    """Give schedules and schedule rules the movable clock."""
    emulator.scheduler.time = clock
    emulator.eventbridge._now_ts = clock.time
    lock = threading.Lock()
    emulator.scheduler._tick_schedules = _one_at_a_time(emulator.scheduler._tick_schedules, lock)
    emulator.eventbridge._tick_scheduled_rules = _one_at_a_time(emulator.eventbridge._tick_scheduled_rules, lock)


def _one_at_a_time(tick: Callable[[], None], lock: threading.Lock) -> Callable[[], None]:
    # `advance` ticks in a request thread while ministack's own ticker runs: without a lock a schedule fires twice.
    def locked() -> None:
        with lock:
            tick()

    return locked
