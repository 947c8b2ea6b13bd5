"""Each change of a finding as an event for EventBridge, so that anybody attaches a target of their own.

docs/schema/event.schema.json describes `detail`; docs/channels.md has an example rule.
"""

import json
from datetime import datetime

from shared import render
from shared.finding import Told
from shared.settings import Settings

SOURCE = "mfa-delete-guardrail"
DETAIL_TYPE = "Finding changed"
SCHEMA = "mfa-delete-guardrail/event/1"

type Entry = dict[str, object]
"""Of PutEvents, without the name of the bus."""


def entry(told: Told, settings: Settings) -> Entry:
    """The alert's JSON form, with the change that no mail tells of too, and without the runbook."""
    finding = told.finding
    document = {**render.document(told, settings, page=""), "schema": SCHEMA, "stack": settings.stack_name}
    del document["runbook"]
    arn = f"arn:{settings.partition}:s3:::{finding.bucket.name}"
    return _entry(DETAIL_TYPE, finding.changed_at or finding.detected_at, document) | (
        {"Resources": [arn]} if finding.bucket.is_bucket else {}
    )


def drill(settings: Settings, now: datetime) -> Entry:
    """A marked event; nothing happened."""
    document = {"schema": render.DRILL_SCHEMA, "account": settings.account_id, "region": settings.aws_region}
    return _entry("Drill", now, {**document, "title": "A drill: somebody asked whether events arrive."})


def _entry(kind: str, at: datetime, document: dict[str, object]) -> Entry:
    return {"Source": SOURCE, "DetailType": kind, "Time": at, "Detail": json.dumps(document)}
