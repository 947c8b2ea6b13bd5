"""Rows 1 and 13 as on AWS: CloudTrail is slower than an attacker, so every rule is off before the first event."""

from typing import Any

from tests.e2e.attack_stage import Acts, Attacker, Moves, Stage

MOVES = Moves()
SCHEDULE = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target", "Description")
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


# Row 13: who may do everything --------------------------------------------------------------------------------------


def schedules_of(stage: Stage) -> list[dict[str, Any]]:
    """All schedules, as UpdateSchedule and CreateSchedule want them."""
    names = [part for name, part in stage.parts.items() if name.endswith("Schedule")]
    found = [stage.root("scheduler").get_schedule(Name=name) for name in names]
    return [{each: one[each] for each in SCHEDULE} for one in found]


@MOVES.move(
    13,
    "all rules off, and the schedule of the look deleted, within a second",
    must=["alarm HealthHeartbeatAlarm"],
    note=LATE,
)
def look_away(stage: Stage) -> Acts:
    attacker = stage.attacker("events:*", "scheduler:DeleteSchedule")
    [was] = [each for each in schedules_of(stage) if each["Name"] == stage.parts["HealthSchedule"]]
    yield
    disable(attacker, tamper_first(stage))
    attacker("scheduler").delete_schedule(Name=was["Name"])
    yield
    stage.root("scheduler").create_schedule(**was)
    enable(stage)


@MOVES.move(
    13,
    "a full administrator: all rules, all schedules and the actions of all alarms off, within a second",
    note=LATE,
    silent="whoever may do everything can end everything; only the dead man's switch of `HeartbeatUrl`, outside this "
    "account, notices",
)
def all_quiet(stage: Stage) -> Acts:
    attacker = stage.attacker("events:*", "scheduler:*", "iam:PassRole", "cloudwatch:DisableAlarmActions")
    alarms = [part for name, part in stage.parts.items() if name.endswith("Alarm")]
    schedules = schedules_of(stage)
    yield
    disable(attacker, tamper_first(stage))
    attacker("cloudwatch").disable_alarm_actions(AlarmNames=alarms)
    for each in schedules:
        attacker("scheduler").update_schedule(**each, State="DISABLED")
    yield
    stage.root("cloudwatch").enable_alarm_actions(AlarmNames=alarms)
    for each in schedules:
        stage.root("scheduler").update_schedule(**each, State="ENABLED")
    enable(stage)  # at last, or they would tell of each of these calls


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
