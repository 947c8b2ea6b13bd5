"""What was read so far, on disk: events by time, and which logs are done. With --resume it outlives the command."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import click

from cli.logs import Log
from cli.reading import LogRead
from cli.stack import Trouble

_TABLES = """
CREATE TABLE made_by (version TEXT);
CREATE TABLE log (name TEXT PRIMARY KEY, mark TEXT, records INTEGER) WITHOUT ROWID;
CREATE TABLE event (log TEXT, at INTEGER, place INTEGER, event TEXT);
CREATE TABLE rejected (log TEXT, reason TEXT);
CREATE INDEX event_of_log ON event (log);
CREATE INDEX rejected_of_log ON rejected (log);
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A database; a log is in it wholly or not at all."""

    base: sqlite3.Connection

    def has(self, log: Log) -> bool:
        """Whether this very content was read."""
        found = self.base.execute("SELECT mark FROM log WHERE name = ?", (log.name,)).fetchone()
        return found is not None and found[0] == log.mark

    def add(self, reads: list[LogRead]) -> None:
        """Keep what these logs hold, instead of what they held before; damaged ones are not done."""
        with self.base:
            for read in reads:
                if not read.damage:
                    self._replace(read)

    def _replace(self, read: LogRead) -> None:
        name = read.log.name
        for table, column in (("log", "name"), ("event", "log"), ("rejected", "log")):
            self.base.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,))  # noqa: S608  # names of ours
        self.base.execute("INSERT INTO log VALUES (?, ?, ?)", (name, read.log.mark, read.records))
        events = ((name, at, place, event) for place, (at, event) in enumerate(read.events))
        self.base.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", events)
        self.base.executemany("INSERT INTO rejected VALUES (?, ?)", ((name, reason) for reason in read.rejected))

    def events(self, since: datetime | None, until: datetime | None) -> Iterator[tuple[str, str]]:
        """Events as JSON with their log's name, from `since` on, before `until`, by time, then by log and place."""
        wanted = "SELECT event, log FROM event WHERE at >= ? AND at < ? ORDER BY at, log, place"
        bounds = (since.timestamp() if since else float("-inf"), until.timestamp() if until else float("inf"))
        yield from self.base.execute(wanted, bounds)

    def rejected(self) -> Iterator[str]:
        """Why entries were rejected, each with its log's name."""
        for name, reason in self.base.execute("SELECT log, reason FROM rejected ORDER BY log, rowid"):
            yield f"{name}: {reason}"

    @property
    def records(self) -> int:
        """How many records the logs hold."""
        return int(self.base.execute("SELECT coalesce(sum(records), 0) FROM log").fetchone()[0])


@contextmanager
def kept_in(path: Path | None) -> Iterator[Kept]:
    """The database in this file, made if it is not there; without one, in a file that goes with the command.

    Raises click.UsageError when the file is something else, Trouble when it cannot be written.
    """
    try:
        with closing(_opened(path)) as base:
            yield Kept(base)
    except sqlite3.Error as wrong:
        raise Trouble(f"cannot keep what was read in {path or 'a temporary file'}: {wrong}") from wrong


def _opened(path: Path | None) -> sqlite3.Connection:
    if path and not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))  # it tells who did what
    base = sqlite3.connect(path or "")
    try:
        base.execute("PRAGMA locking_mode = EXCLUSIVE")
        if base.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
            base.executescript(_TABLES)
            base.execute("INSERT INTO made_by VALUES (?)", (version("mfa-delete-guardrail"),))
            base.commit()
        made_by = base.execute("SELECT version FROM made_by").fetchone()
    except sqlite3.DatabaseError as wrong:
        base.close()
        if isinstance(wrong, sqlite3.OperationalError) and "no such table" not in str(wrong):
            raise
        raise click.UsageError(f"{path} is no file that replay --resume wrote; give another") from wrong
    if made_by != (version("mfa-delete-guardrail"),):
        base.close()
        raise click.UsageError(f"{path} was written by another version of guardrail: delete it, and begin anew")
    return base
