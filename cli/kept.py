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
CREATE TABLE log (name BLOB PRIMARY KEY, mark TEXT, records INTEGER) WITHOUT ROWID;
CREATE TABLE event (log BLOB, at INTEGER, place INTEGER, event TEXT);
CREATE TABLE rejected (log BLOB, reason TEXT);
CREATE INDEX event_of_log ON event (log);
CREATE INDEX rejected_of_log ON rejected (log);
"""

_EVENTS = """
SELECT event, log FROM event WHERE log IN (SELECT name FROM asked) AND at >= ? AND at < ? ORDER BY at, log, place
"""
_REJECTED = "SELECT log, reason FROM rejected WHERE log IN (SELECT name FROM asked) ORDER BY log, rowid"
_RECORDS = "SELECT coalesce(sum(records), 0) FROM log WHERE name IN (SELECT name FROM asked)"


@dataclass(frozen=True, slots=True)
class Kept:
    """A database; a log is in it wholly or not at all. Only of logs that were asked for since it was opened is told."""

    base: sqlite3.Connection

    def lacks(self, log: Log) -> bool:
        """Whether this very content is still to be read; asks for the log."""
        name = os.fsencode(log.name)  # a file's name need not be text
        self.base.execute("INSERT OR IGNORE INTO asked VALUES (?)", (name,))
        found = self.base.execute("SELECT mark FROM log WHERE name = ?", (name,)).fetchone()
        return found is None or found[0] != log.mark

    def add(self, read: LogRead) -> None:
        """Keep what a log holds, instead of what it held before; a damaged one holds nothing, and is not done."""
        with self.base:
            name = os.fsencode(read.log.name)
            self._forget(name)
            if not read.damage:
                self._insert(name, read)

    def _forget(self, name: bytes) -> None:
        for table, column in (("log", "name"), ("event", "log"), ("rejected", "log")):
            self.base.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,))  # noqa: S608  # names of ours

    def _insert(self, name: bytes, read: LogRead) -> None:
        self.base.execute("INSERT INTO log VALUES (?, ?, ?)", (name, read.log.mark, read.records))
        events = ((name, at, place, event) for place, (at, event) in enumerate(read.events))
        self.base.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", events)
        self.base.executemany("INSERT INTO rejected VALUES (?, ?)", ((name, reason) for reason in read.rejected))

    def events(self, since: datetime | None, until: datetime | None) -> Iterator[tuple[str, str]]:
        """Events as JSON with their log's name, from `since` on, before `until`, by time, then by log and place."""
        bounds = (since.timestamp() if since else float("-inf"), until.timestamp() if until else float("inf"))
        for event, name in self.base.execute(_EVENTS, bounds):
            yield event, os.fsdecode(name)

    def rejected(self) -> Iterator[str]:
        """Why entries were rejected, each with its log's name."""
        for name, reason in self.base.execute(_REJECTED):
            yield f"{os.fsdecode(name)}: {reason}"

    @property
    def records(self) -> int:
        """How many records the logs hold."""
        return int(self.base.execute(_RECORDS).fetchone()[0])


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
        # What a power cut takes of the last second is read again; waiting for the disk after each log would be dear.
        for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL"):
            base.execute(f"PRAGMA {setting}")
        if base.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
            base.executescript(_TABLES)
            base.execute("INSERT INTO made_by VALUES (?)", (version("mfa-delete-guardrail"),))
            base.commit()
        base.execute("CREATE TEMP TABLE asked (name BLOB PRIMARY KEY) WITHOUT ROWID")
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
