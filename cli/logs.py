"""Where log files lie: files, folders, and prefixes of buckets; listed one after the other, never all at once."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

import click

S3 = "s3://"
BUFFER = 1 << 17
NAMES = (".json", ".gz", ".jsonl", ".ndjson")
"""What a log's name ends with, in a folder or under a prefix. A file named by itself is taken whatever it is called."""
LATE = timedelta(days=1)
"""How much earlier than its delivery an event may have been: mostly minutes, without a promise."""
_OTHERS = re.compile(r"(?:^|/)CloudTrail-[A-Za-z]+/")
"""Beside its logs, CloudTrail writes digests of them, and insights; both are no records of calls."""
_DELIVERED = re.compile(r"_CloudTrail_[a-z0-9-]+_(\d{8}T\d{4}Z)_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One file. `mark` differs when its content does."""

    name: str
    size: int
    mark: str

    @property
    def is_remote(self) -> bool:
        """Whether it lies in a bucket."""
        return self.name.startswith(S3)


@dataclass(slots=True, kw_only=True)
class Search:
    """Which logs are wanted: those that may hold events from `since` on, before `until`.

    `others` counts what was left out as no log; `unseen` are folders that could not be looked into, and places that
    hold no logs, each with what is the matter.
    """

    s3: Callable[[], Any]
    since: datetime | None = None
    until: datetime | None = None
    others: int = field(default=0, init=False)
    unseen: list[str] = field(default_factory=list, init=False)

    def under(self, place: str) -> Iterator[Log]:
        """The logs at a file, in a folder, or under s3://BUCKET/PREFIX, by name. Raises ClientError, BotoCoreError."""
        if place.startswith(S3):
            found = self._under_prefix(place)
        elif Path(place).is_dir():
            found = self._in_folder(place)
        else:
            yield _local(place)
            return
        is_empty = True
        for name, log in found:
            if _OTHERS.search(name) or not name.endswith(NAMES):
                self.others += 1
            elif self._may_hold(name):
                is_empty = False
                yield log
        if is_empty:
            self.unseen.append(f"{place}: there are no logs, or none of that time")

    def _in_folder(self, folder: str) -> Iterator[tuple[str, Log]]:
        for where, folders, files in os.walk(folder, onerror=self._note):
            folders.sort()
            links = [path for name in folders if os.path.islink(path := os.path.join(where, name))]
            self.unseen += (f"{path}: a link to a folder is not followed; name the folder itself" for path in links)
            for name in sorted(files):
                path = os.path.join(where, name)
                yield os.path.relpath(path, folder), _local(path)

    def _note(self, error: OSError) -> None:
        self.unseen.append(f"{error.filename}: {error.strerror}")

    def _under_prefix(self, place: str) -> Iterator[tuple[str, Log]]:
        bucket, _, prefix = place.removeprefix(S3).partition("/")
        for page in self.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                name = f"{S3}{bucket}/{item['Key']}"
                yield item["Key"], Log(name=name, size=item["Size"], mark=item["ETag"])

    def _may_hold(self, name: str) -> bool:
        """By the time of its delivery in its name, where it has one."""
        named = _DELIVERED.search(name)
        if not named:
            return True
        at = datetime.strptime(named[1], "%Y%m%dT%H%MZ").replace(tzinfo=UTC)
        return (self.since is None or at >= self.since - LATE) and (self.until is None or at < self.until + LATE)


def checked(places: tuple[str, ...]) -> None:
    """Raises click.BadParameter for what is not there, before anything is read."""
    for place in places:
        if place.startswith(S3):
            if not re.fullmatch(r"s3://[^/]+(/.*)?", place, re.DOTALL):
                raise click.BadParameter(f"{place!r} names no bucket: s3://BUCKET/PREFIX")
        elif not Path(place).exists():
            raise click.BadParameter(f"there is no file or folder {place!r}")


def opened(log: Log, s3: Callable[[], Any]) -> BufferedReader:
    """Its bytes as they are stored. Raises OSError, or ClientError, BotoCoreError."""
    if not log.is_remote:
        return BufferedReader(FileIO(log.name), BUFFER)
    bucket, _, key = log.name.removeprefix(S3).partition("/")
    return BufferedReader(s3().get_object(Bucket=bucket, Key=key)["Body"], BUFFER)


def _local(path: str) -> Log:
    try:
        found = os.stat(path)
    except OSError:  # gone since it was listed, or a broken link: opening it will say so
        return Log(name=path, size=0, mark="")
    return Log(name=path, size=found.st_size, mark=f"{found.st_size}-{found.st_mtime_ns}")
