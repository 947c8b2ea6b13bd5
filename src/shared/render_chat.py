"""An alert as Amazon Q Developer in chat applications takes it, for Slack and Microsoft Teams.

It drops what is not exactly its schema. What others chose is ASCII on one line already (quoting.py); here it also
loses what those two would take for a link, a mention or a format.
Source: Amazon Q Developer in chat applications, custom notifications; docs/schema/chat.schema.json
"""

import json
from datetime import datetime

from shared import quoting
from shared.finding import Alert, Told
from shared.settings import Settings
from shared.wording import short

DESCRIPTION_LIMIT = 2500
"""Ours: a vendor's limit is not published, and Slack takes 3,000 characters in one block."""
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "[": "(", "]": ")", "`": "'", "*": "'", "@": "(at)"})


def message(told: Told, alert: Alert, settings: Settings, *, home: Settings) -> str:
    """One finding: the alert's subject, the short text, and what to do next; all of a finding in one thread.

    settings: of the bucket's account; home: of ours, which the command knows alone.
    """
    finding = told.finding
    steps = []
    if told.is_bad_news and finding.bucket.is_bucket:
        is_home = home.is_home(finding.bucket.account, finding.bucket.region)
        page = f"{settings.command} runbook {finding.bucket.name}" if is_home else "it is in the mail"
        steps.append(f"The runbook: {page}")
    if told.is_bad_news and finding.is_open:
        steps.append(f'Seen: {settings.command} ack {finding.short_id} --why "..."')
    return _document(
        title=alert.subject,
        lines=short(told, settings),
        steps=steps,
        keywords=[finding.severity.value, finding.control],
        thread=finding.short_id,
        event=f"{finding.control}.{told.change.value}",
        resource=finding.bucket.name if finding.bucket.is_bucket else "",
    )


def digest(alert: Alert, now: datetime) -> str:
    """A digest: as many of its lines as there is room for; the mail has all."""
    return _document(
        title=alert.subject,
        lines=alert.text.splitlines(),
        steps=[],
        keywords=[alert.attributes["severity"], alert.attributes["control"]],
        thread=f"{alert.attributes['control']}-{now:%Y-%m-%d}",
        event=f"{alert.attributes['control']}.{alert.attributes['change']}",
        resource="",
    )


def _document(
    *, title: str, lines: list[str], steps: list[str], keywords: list[str], thread: str, event: str, resource: str
) -> str:
    content: dict[str, object] = {
        "textType": "client-markdown",
        "title": _tame(title),
        "description": quoting.first_lines([_tame(line) for line in lines], DESCRIPTION_LIMIT, "(more in the mail)"),
        "keywords": keywords,
    }
    if steps:
        content["nextSteps"] = [_tame(step) for step in steps]
    metadata: dict[str, object] = {"threadId": thread, "summary": _tame(title), "eventType": event}
    if resource:
        metadata["relatedResources"] = [resource]
    return json.dumps({"version": "1.0", "source": "custom", "content": content, "metadata": metadata})


def _tame(text: str) -> str:
    return text.translate(_MARKUP).replace("://", ":(//)")  # Slack makes a link of a bare address
