"""When the dead man's switch outside hears from us, and when it must not."""

import pytest

from handlers import guardrail_health
from shared import health as look_at_itself
from shared.aws import health
from shared.facts import Condition, GuardrailHealth, State
from tests.functional.conftest import Stage
from tests.functional.test_cli import deployed, run
from tests.functional.test_handlers import protected

__all__ = ["deployed"]


def condition(state: State, meaning: str) -> Condition:
    return Condition(about="trail", state=state, problem=meaning, meaning=meaning, mend="look")


UNSEEN = condition(State.UNKNOWN, "the selectors of the organization's trail cannot be read")
OTHER = condition(State.UNKNOWN, "the queues cannot be read")


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The beats so far."""
    heard: list[str] = []

    def beat(url: str) -> tuple[str, ...]:
        heard.append(url)
        return ()

    monkeypatch.setattr(look_at_itself, "beat", beat)
    return heard


def look(stage: Stage, monkeypatch: pytest.MonkeyPatch, *conditions: Condition) -> None:
    """A scheduled look that finds these."""
    monkeypatch.setattr(health, "read", lambda *_: GuardrailHealth(conditions=conditions))
    stage.invoke(guardrail_health.handler, {"health": "scheduled"})


def acknowledge(stage: Stage) -> None:
    """What is open of the guardrail itself."""
    memories = stage.guard.store.recall_everything(now=stage.now)
    [finding] = [f for key, memory in memories.items() if not key.is_bucket for f in memory.findings if f.is_open]
    run("ack", finding.short_id, "--why", "the organization's own")


def test_what_cannot_be_looked_at_stops_it_until_somebody_acknowledges_that_and_nothing_more(
    deployed: Stage, beats: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    protected(deployed)
    look(deployed, monkeypatch)
    assert len(beats) == 1
    look(deployed, monkeypatch, UNSEEN)
    assert len(beats) == 1
    acknowledge(deployed)
    look(deployed, monkeypatch, UNSEEN)
    assert len(beats) == 2
    look(deployed, monkeypatch, UNSEEN, OTHER)
    assert len(beats) == 2
    look(deployed, monkeypatch, condition(State.BAD, "it is off"))
    assert len(beats) == 2


def test_alerts_that_are_refused_stop_it(stage: Stage, beats: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    protected(stage)
    stage.denied.add(("Publish", ""))
    with pytest.raises(ExceptionGroup):
        look(stage, monkeypatch, UNSEEN)
    stage.later(minutes=15)
    with pytest.raises(ExceptionGroup):
        look(stage, monkeypatch)
    stage.denied.clear()
    assert beats == []
    stage.later(minutes=15)
    look(stage, monkeypatch)
    assert len(beats) == 1


def test_what_was_acknowledged_and_one_thing_less_is_no_news(
    deployed: Stage, beats: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    protected(deployed)
    look(deployed, monkeypatch, UNSEEN, OTHER)
    acknowledge(deployed)
    deployed.later(minutes=15)
    deployed.messages()
    look(deployed, monkeypatch, OTHER)
    deployed.later(minutes=15)
    look(deployed, monkeypatch, OTHER)
    assert len(beats) == 2
    assert [subject.split()[0] for subject in deployed.subjects()] == ["[acknowledged]"]
