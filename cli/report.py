"""`guardrail report`: how every bucket stands and stood, as one HTML file for those who have no access."""

import json
import os
import re
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import click

from cli.report_data import Asked, document, exit_code
from cli.report_page import MARK, page
from cli.stack import Stack, Trouble

USUAL = timedelta(days=90)
_AGO = re.compile(r"([0-9]{1,4})([dh])")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})")
HOW = "a day (2026-09-25), a time with its zone (2026-09-25T09:15Z), or so long ago (30d, 12h)"


@click.command()
@click.option("--html", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the page to this file.")
@click.option("--since", metavar="T", help="Where the timeline begins (default: 90 days before its end).")
@click.option("--until", metavar="T", help="Where it ends (default: now, or the moment of --at).")
@click.option("--at", metavar="T", help="Tell the state as it was then, from history.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as one JSON object.")
@click.pass_obj
def report(stack: Stack, file: Path | None, since: str | None, until: str | None, at: str | None, as_json: bool) -> int:
    """Report how every enrolled bucket stands and stood, what is open, and whether the guardrail saw.

    T is a day (UTC; whole: its start for --since, its end for the others), a time such as 2026-09-25T09:15Z, or 30d or
    12h for so long ago. FILE needs no network; an older report of that name is replaced, any other file is not.
    Exit code: 0 every enrolled bucket is protected or exempt, and the guardrail sees; 1 something is not so; 3 some
    state could not be told.
    """
    if file is None and not as_json:
        raise click.UsageError("give --html FILE, --json, or both")
    asked = _asked(stack, since, until, at)
    if file is not None:
        _check(file)
    said = document(stack, asked)
    if file is not None:
        _write(file, page(said))
    if as_json:
        click.echo(json.dumps(said, indent=2))
    elif file is not None:
        click.echo(f"{file}: buckets: {len(said['buckets'])}, open findings: {len(said['findings'])}")
    return exit_code(said)


def _asked(stack: Stack, since: str | None, until: str | None, at: str | None) -> Asked:
    """The times that were given. Raises BadParameter with what is wrong with them."""
    if not stack.exists:
        _refuse(stack)
    now = stack.guard.clock()
    moment = _time(at, "--at", now, end_of_day=True) if at else None
    end = _time(until, "--until", now, end_of_day=True) if until else moment or now
    start = _time(since, "--since", now, end_of_day=False) if since else (moment or end) - USUAL
    if start >= end:
        raise click.BadParameter(f"{since or 'it'} is not before {until or at or 'now'}", param_hint="--since")
    if moment and not start <= moment <= end:
        raise click.BadParameter(f"{at} is not between --since and --until", param_hint="--at")
    return Asked(since=start, until=end, at=moment, now=now)


def _refuse(stack: Stack) -> NoReturn:
    known = "so nothing is known of the past"
    raise Trouble(f"{stack.absence}, {known}; {stack.way_out} (guardrail status looks without one)")


def _time(text: str, option: str, now: datetime, *, end_of_day: bool) -> datetime:
    """The moment that a text means, not after now."""
    try:
        found = _read(text, now, end_of_day=end_of_day)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise click.BadParameter(f"{text!r} is not {HOW}", param_hint=option)
    if found > now and not (_DAY.fullmatch(text) and text == f"{now:%Y-%m-%d}"):
        raise click.BadParameter(f"{text} is in the future", param_hint=option)
    return min(found, now)


def _read(text: str, now: datetime, *, end_of_day: bool) -> datetime | None:
    ago = _AGO.fullmatch(text)
    if ago:
        return now - timedelta(**{{"d": "days", "h": "hours"}[ago[2]]: int(ago[1])})
    if _DAY.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=end_of_day)
    return datetime.fromisoformat(text).astimezone(UTC) if _TIME.fullmatch(text) else None


def _check(file: Path) -> None:
    """Before anything is asked of AWS: may the file be written?"""
    if not file.parent.is_dir():
        raise click.BadParameter(f"there is no folder {file.parent}", param_hint="--html")
    if file.exists():
        with file.open("rb") as old:
            is_ours = MARK.encode() in old.read(1024)
        if not is_ours:
            raise click.BadParameter(f"{file} exists and is no report of this command", param_hint="--html")


def _write(file: Path, text: str) -> None:
    """Whole or not at all, and for its owner's eyes: it names buckets, people and findings."""
    new: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        new = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as opened:
            opened.write(text)
        new.replace(file)
    except OSError as wrong:
        if new is not None:
            new.unlink(missing_ok=True)
        raise Trouble(f"{file} could not be written: {wrong.strerror or wrong}") from wrong
