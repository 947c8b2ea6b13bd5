"""Log files -> what they hold for us, several processes at once, a few files ahead of who takes it."""

import itertools
import json
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from botocore.exceptions import BotoCoreError, ClientError

from cli.logs import Log, opened
from cli.records import Damaged, taken_from, trigger_of
from cli.stack import Stack, Trouble
from shared.aws.calling import WORKERS
from shared.facts import BadEvent
from shared.parse import Event

BATCH_FILES, BATCH_BYTES = 64, 1 << 20
"""What one process is given at a time, packed: enough that handing it over costs little, and little to hold."""
ALONE = 32
"""So many batches are sooner read than another process has started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRead:
    """What a log holds: events with their time (seconds since 1970) as JSON, and why entries were rejected.

    `damage`: why it could not be read, in which case it holds nothing.
    """

    log: Log
    records: int = 0
    events: list[tuple[int, str]] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    damage: str = ""


def read_all(stack: Stack, logs: Iterable[Log], workers: int) -> Iterator[LogRead]:
    """Read them, in their order. Raises Trouble when a process ended before its work."""
    batches = _batches(logs)
    first = list(itertools.islice(batches, ALONE + 1))
    rest = itertools.chain(first, batches)
    if workers == 1 or len(first) <= ALONE:
        for batch in rest:
            yield from _read_each(batch, stack)
        return
    # Not forked: there are threads (a bar, connections).
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, stack.made_with) as pool:
        waiting = deque(_submit(pool, batch) for batch in itertools.islice(rest, 2 * workers))
        try:
            while waiting:
                yield from waiting.popleft().result()
                waiting.extend(_submit(pool, batch) for batch in itertools.islice(rest, 1))
        except BrokenProcessPool as broken:
            raise Trouble("a process that read logs ended early (out of memory?); try --workers 1") from broken
        finally:
            pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, batch: list[Log]) -> Future[list[LogRead]]:
    """An interruption is the command's: the processes that this starts never see one, not even while they begin."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_read_batch, batch)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _batches(logs: Iterable[Log]) -> Iterator[list[Log]]:
    batch, size = list[Log](), 0
    for log in logs:
        batch.append(log)
        size += log.size
        if len(batch) == BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


_stacks: list[Stack] = []
"""The one that a process reads with."""


def _begin(name: str, profile: str | None, region: str | None) -> None:
    _stacks.append(Stack(name, profile, region))


def _read_batch(batch: list[Log]) -> list[LogRead]:
    return list(_read_each(batch, _stacks[0]))


def _read_each(batch: list[Log], stack: Stack) -> Iterator[LogRead]:
    if not any(log.is_remote for log in batch):
        yield from (_read(stack, log) for log in batch)
        return
    with ThreadPoolExecutor(WORKERS) as pool:  # what is far away is waited for, not computed
        yield from pool.map(partial(_read, stack), batch)


def _read(stack: Stack, log: Log) -> LogRead:
    records, events, rejected = 0, list[tuple[int, str]](), list[str]()
    try:
        with opened(log, lambda: stack.s3) as stream:
            for taken in taken_from(stream):
                records += taken.records
                rejected += taken.rejected
                for event in taken.events:
                    _keep(event, events, rejected)
    except (Damaged, OSError, BotoCoreError, ClientError) as wrong:
        return LogRead(log=log, damage=str(wrong))
    return LogRead(log=log, records=records, events=events, rejected=rejected)


def _keep(event: Event, events: list[tuple[int, str]], rejected: list[str]) -> None:
    try:
        at = trigger_of(event).at
    except BadEvent as bad:
        rejected.append(str(bad))
    else:
        events.append((int(at.timestamp()), json.dumps(event)))
