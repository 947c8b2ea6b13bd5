"""What all verbs show by: stdout, a bar on stderr while it takes long, texts that others chose made harmless."""

import csv
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from shared.aws.calling import WORKERS

TABLE_WIDTH = 80
"""On a narrower screen (a telephone's has 40 columns) what would be a table is stacked."""
FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""What makes a spreadsheet compute a cell; the last four are the full-width forms of the first."""


def printable(text: str) -> str:
    """Without line breaks and terminal sequences."""
    return "".join(char if char.isprintable() else "?" for char in text)


def is_narrow(console: Console) -> bool:
    """Whether a table would have to be folded into crumbs."""
    return console.width < TABLE_WIDTH


def at_once[T, R](what: str, do: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do it to all of them, several at a time, with a bar on stderr if that is a terminal; in the order of `items`.

    An interruption lets what has begun end, and begins nothing more.
    """
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn())
    screen = Console(stderr=True)
    found = []
    with Progress(*columns, console=screen, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=len(items))
        pool = ThreadPoolExecutor(WORKERS)
        try:
            for each in pool.map(do, items):
                found.append(each)
                bar.advance(task)
        finally:
            pool.shutdown(cancel_futures=True)
    return found


def together(*asks: Callable[[], Any]) -> list[Any]:
    """The answers of a few questions that do not wait for each other."""
    with ThreadPoolExecutor(len(asks)) as pool:
        return [asked.result() for asked in [pool.submit(ask) for ask in asks]]


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """RFC 4180 with plain line ends; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue()


def _cell(value: str) -> str:
    shown = printable(value)
    return f"'{shown}" if shown.lstrip()[:1] in FORMULA else shown
