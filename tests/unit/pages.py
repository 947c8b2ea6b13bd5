"""README, docs and the runbook as the tests about them read them; no tests of its own."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "events" / "README.md",
    ROOT / "runbook" / "RUNBOOK.md",
]
COMMANDS = ("guardrail", "aws", "sam", "make")
_BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_OPERATORS = set(";|&<>()")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page, in one language."""
    return [text for kind, text in _BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def shown(page: Path) -> list[tuple[str, str]]:
    """Commands whose output a page shows: a block of one command, and right after it a block of text."""
    return re.findall(r"^```sh\n([^\n]*)\n```\n\n```text\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def spans(page: Path) -> list[str]:
    """The pieces of code inside sentences, each on one line."""
    prose = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(each.split()) for each in _SPAN.findall(prose)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    prose = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return {_slug(each) for each in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)}


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def typed(page: Path) -> Iterator[list[str]]:
    """What a person is to type, split into words: every command of the page's shell blocks."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield from commands_of(line)


def mentioned(page: Path) -> Iterator[list[str]]:
    """Commands in the middle of a sentence; they may leave out what is needed."""
    for span in spans(page):
        if span.split()[0] in COMMANDS and " " in span:
            yield from commands_of(re.sub(r"(?<=\w)\.\.\.", "", span))


def commands_of(line: str) -> Iterator[list[str]]:
    """The commands of one line of shell; what a command is fed from, or writes to, is left out."""
    lexer = shlex.shlex(re.sub(r"{{(\w+)}}", r"\1", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= _OPERATORS:
            starts = [words.index(name) for name in COMMANDS if name in words]
            if starts:
                yield words[min(starts) :]
            words = []
        else:
            words.append(word)
