"""A stage that reports are made of: what the real handlers left in the table, read as `guardrail report` reads it."""

import json
from datetime import datetime, timedelta
from typing import Any

from click.testing import Result

from cli.doctor import STALE
from cli.report_spans import Gap, Span, blind_gaps, spans, standing_at
from shared.aws.history import History
from shared.facts import GUARDRAIL, Condition, GuardrailHealth, State, Trigger, TriggerKind
from tests.functional.conftest import ACCOUNT, Stage
from tests.functional.test_cli import run
from tests.functional.test_handlers import key


def gaps_of(stage: Stage) -> tuple[Gap, ...]:
    """When the guardrail did not see."""
    own = key(GUARDRAIL)
    past = [each for each in _history(stage) if each.bucket == own]
    known = {f.id: f for f in stage.guard.store.recall(own, now=stage.now).findings}
    look = stage.guard.notes.look()
    return blind_gaps(past, known, last_look=look.at if look else None, stale=STALE, now=stage.now)


def _history(stage: Stage) -> Any:
    return History("guardrail", stage.guard.store).read(ACCOUNT, "us-east-1", until=stage.now)


def spans_of(stage: Stage, name: str = "vault", *, since: datetime | None = None, days: int = 400) -> tuple[Span, ...]:
    """How a bucket stood until now."""
    memory = stage.guard.store.recall(key(name), now=stage.now)
    return spans(
        [each for each in _history(stage) if each.bucket == key(name)],
        memory.last,
        {finding.id: finding for finding in memory.findings},
        since=since or stage.now - timedelta(days=90),
        until=stage.now,
        kept_since=stage.now - timedelta(days=days),
        gaps=gaps_of(stage),
    )


def stood(stage: Stage, name: str = "vault") -> list[str]:
    """The standings in their order."""
    return [one.standing.value for one in spans_of(stage, name)]


def at(stage: Stage, moment: datetime, name: str = "vault") -> str:
    """How it stood at a moment."""
    found = standing_at(spans_of(stage, name), moment)
    assert found is not None
    return found.standing.value


def look_at_itself(stage: Stage, *, blind: bool) -> None:
    """A look at the guardrail itself that finds its rule off, or all well; settled as the function does."""
    rule = Condition(about="rule", state=State.BAD, problem="rule-off", meaning="the rule is off", blinds=True)
    reading = GuardrailHealth(conditions=(rule,) if blind else ())
    trigger = Trigger(kind=TriggerKind.SWEEP, at=stage.now, bucket=key(GUARDRAIL))
    memory = stage.guard.store.recall(key(GUARDRAIL), now=stage.now)
    stage.guard.settle(stage.guard.weigh(trigger, memory, reading))


def reported(*arguments: str) -> tuple[Result, dict[str, Any]]:
    """The command with --json, and its document."""
    result = run("report", "--json", *arguments)
    assert result.exception is None, result.exception
    return result, json.loads(result.stdout)
