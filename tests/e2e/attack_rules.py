"""Row 1 as on AWS: CloudTrail is slower than an attacker, so every rule is off before the first event comes."""

from tests.e2e.attack_stage import Acts, Attacker, Moves, Stage

MOVES = Moves()
TAMPER_RULES = ("RuleTamperRule", "TargetTamperRule")
LATE = "Events come after the last call here, as they may on AWS, where CloudTrail needs minutes."


def tamper_first(stage: Stage) -> list[str]:
    """All rules, those first that watch the others."""
    return [stage.rules[name] for name in sorted(stage.rules, key=lambda name: (name not in TAMPER_RULES, name))]


def tamper_last(stage: Stage) -> list[str]:
    """All rules, those last that watch the others."""
    return tamper_first(stage)[::-1]


def disable(attacker: Attacker, rules: list[str]) -> None:
    """Switch rules off."""
    for name in rules:
        attacker("events").disable_rule(Name=name)


def enable(stage: Stage) -> None:
    """All on again; no tamper rule waits for that."""
    for name in stage.rules.values():
        stage.root("events").enable_rule(Name=name)


@MOVES.move(1, "disable all rules within a second, in any order", must=["guardrail-blind"], note=LATE)
def disable_all(stage: Stage) -> Acts:
    attacker = stage.attacker("events:*")
    yield
    disable(attacker, tamper_last(stage))
    yield
    [told] = stage.told("guardrail-blind")
    assert told.subject.startswith("[critical]")
    assert "is switched off" in told.body
    enable(stage)


@MOVES.move(1, "remove the targets of all rules within a second", must=["guardrail-blind"], note=LATE)
def empty_all(stage: Stage) -> Acts:
    attacker, events = stage.attacker("events:*"), stage.root("events")
    targets = {name: events.list_targets_by_rule(Rule=name)["Targets"] for name in tamper_first(stage)}
    yield
    for name, each in targets.items():
        attacker("events").remove_targets(Rule=name, Ids=[target["Id"] for target in each])
    yield
    assert "(targets)" in stage.told("guardrail-blind")[0].body
    for name, each in targets.items():
        events.put_targets(Rule=name, Targets=each)


# The last one: nothing puts these rules back.
@MOVES.move(1, "delete all rules within a second", must=["guardrail-blind"], note=LATE)
def delete_all(stage: Stage) -> Acts:
    attacker, events = stage.attacker("events:*"), stage.root("events")
    targets = {name: events.list_targets_by_rule(Rule=name)["Targets"] for name in tamper_first(stage)}
    yield
    for name, each in targets.items():
        attacker("events").remove_targets(Rule=name, Ids=[target["Id"] for target in each])
        attacker("events").delete_rule(Name=name)
    yield
    assert "is gone" in stage.told("guardrail-blind")[0].body
