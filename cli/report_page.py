"""The report as one HTML file that asks nobody for anything: style and script inside, allowed by their hash alone."""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cli.report_spans import Standing
from shared.quoting import minute

PARTS = Path(__file__).with_name("page")
MARK = '<meta name="generator" content="guardrail report">'
"""By which a file is known to be a report."""
PAGE_SIZE = 100
"""Rows shown at once where scripts run; as in report.js."""
LETTERS = {
    Standing.PROTECTED: "P",
    Standing.EXEMPT: "E",
    Standing.UNPROTECTED: "U",
    Standing.SUSPENDED: "S",
    Standing.UNVERIFIABLE: "?",
    Standing.NOT_OBSERVED: "o",
    Standing.NOT_ENROLLED: "n",
    Standing.DELETED: "D",
}
WORST_FIRST = (
    Standing.UNPROTECTED, Standing.SUSPENDED, Standing.UNVERIFIABLE, Standing.NOT_OBSERVED, Standing.EXEMPT,
    Standing.PROTECTED, Standing.NOT_ENROLLED, Standing.DELETED,
)  # fmt: skip
NUMBERS = {
    "buckets": "buckets in all",
    "enrolled": "enrolled",
    "protected": "protected",
    "unprotected": "unprotected",
    "suspended": "suspended",
    "exempt": "exempt",
    "unverifiable": "unverifiable",
    "not_observed": "not observed",
    "not_enrolled": "not enrolled",
}
SIGNS = {"fine": "+", "bad": "!", "unknown": "?"}


def page(said: Mapping[str, Any]) -> str:
    """The HTML of a report's document (report_data.py)."""
    css, script = ((PARTS / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    findings = defaultdict(list)
    for finding in said["findings"]:
        findings[finding["bucket"]].append(finding["id"])
    start, end = (datetime.fromisoformat(said["span"][name]) for name in ("since", "until"))
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            said,
            csp=f"default-src 'none'; script-src {_source(script)}; style-src {_source(css)}; "
            "base-uri 'none'; form-action 'none'",
            css=Markup(css),  # noqa: S704  # our own files, without a value in them
            script=Markup(script),  # noqa: S704  # as above
            letters={standing.value: letter for standing, letter in LETTERS.items()},
            order=[standing.value for standing in WORST_FIRST],
            numbers=[(name, label) for name, label in NUMBERS.items()],
            signs=SIGNS,
            axis=[f"{start + (end - start) * part / 2:%Y-%m-%d}" for part in range(3)],
            bars=lambda spans: _bars(spans, start, end),
            open_findings=findings,
            page_size=PAGE_SIZE,
        )
    )


def _source(text: str) -> str:
    """A source expression of the policy: the hash of what stands between the tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _environment() -> Environment:
    """Everything is escaped; what cannot be seen, or turns the order of letters round, is spelt out first."""
    made = Environment(
        loader=FileSystemLoader(PARTS),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "minute": lambda text: minute(datetime.fromisoformat(text)) if text else "-",
        "slug": lambda text: str(text).replace(" ", "-").replace("_", "-"),
        "thousands": lambda count: f"{count:,}",
    }
    return made


def _visible(value: Any) -> Any:
    """Text without control characters, lone surrogates, invisible letters and changes of direction."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in value)


def _bars(spans: Sequence[Mapping[str, Any]], start: datetime, end: datetime) -> list[dict[str, Any]]:
    """The spans as parts of the width, in percent; one too short to be seen is made visible."""
    whole = max(end - start, timedelta(seconds=1))
    bars = []
    for one in spans:
        x = 100 * ((datetime.fromisoformat(one["start"]) - start) / whole)
        width = max(100 * ((datetime.fromisoformat(one["end"]) - start) / whole) - x, 0.3)
        bars.append(
            {"standing": one["standing"], "x": round(x, 2), "width": round(width, 2), "middle": round(x + width / 2, 2)}
        )
    return bars
