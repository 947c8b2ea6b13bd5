"""Dead man's switches: the message to an address outside after each good look, and the alarms on what does not come."""

from collections.abc import Callable, Iterator

import pytest

from local import stack
from local.cloud import Cloud
from tests.e2e import troubles
from tests.e2e.local_setting import posted_to
from tests.e2e.test_deliveries import eventually
from tests.e2e.troubles import Room, room_of, schedule_as_it_is

SECRET = "5c0ffee5-0000-4000-8000-5ec2e75ec2e7"  # noqa: S105  # made up
"""Part of the address that is as good as a password; a made-up one."""
QUARTER_S, HOUR_S = 900, 3600


@pytest.fixture(scope="module")
def room(cloud: Cloud, outputs: dict[str, str]) -> Room:
    """A stack that knows that somebody listens."""
    stack.sweep(cloud, outputs)
    return room_of(cloud, "guardrail", outputs)


@pytest.fixture
def beats() -> Iterator[tuple[str, list[str]]]:
    """A dead man's switch on this machine: its address, and the requests that came."""
    with posted_to(lambda sent: f"{sent.command} {sent.path} {sent.headers.get('Content-Length')}") as (url, got):
        yield f"{url}/{SECRET}", got


@pytest.fixture
def beat_to(room: Room) -> Iterator[Callable[[str], None]]:
    """Gives the look an address for its heartbeat; the parameter takes https only, so that the variable is set."""
    functions, name = room.client("lambda"), room.parts["HealthFunction"]
    kept = functions.get_function_configuration(FunctionName=name)["Environment"]

    def give(url: str) -> None:
        variables = kept["Variables"] | {"HEARTBEAT_URL": url}
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        room.cloud.advance(0)  # the look that this change causes is over

    yield give
    functions.update_function_configuration(FunctionName=name, Environment=kept)


def test_each_good_look_sends_one_message_and_one_that_finds_something_sends_none(
    room: Room, beats: tuple[str, list[str]], beat_to: Callable[[str], None]
) -> None:
    url, got = beats
    beat_to(url)
    got.clear()
    assert not room.invoke()["failed"]
    assert got == [f"POST /{SECRET} 0"]
    room.cloud.advance(QUARTER_S)
    eventually(lambda: len(got) == 2)
    undo = troubles.waiting(room, "DeadLetterQueue")
    assert room.invoke()["transitions"] == ["opened guardrail-blind (guardrail)"]
    assert len(got) == 2
    undo()
    eventually(lambda: not room.invoke()["failed"] and len(got) >= 3)


def test_an_address_that_does_not_answer_fails_no_look_and_never_stands_in_the_log(
    room: Room, beats: tuple[str, list[str]], beat_to: Callable[[str], None]
) -> None:
    nobody = f"http://127.0.0.1:9/{SECRET}"
    beat_to(nobody)
    assert not room.invoke()["failed"]
    lines = log_of(room, "HealthLogs")
    assert "the heartbeat URL could not be reached: URLError" in lines
    assert SECRET not in lines


def log_of(room: Room, name: str) -> str:
    """All that a function wrote."""
    pages = room.client("logs").get_paginator("filter_log_events").paginate(logGroupName=room.parts[name])
    return "\n".join(event["message"] for page in pages for event in page["events"])


def spoke(room: Room, name: str, since: int) -> set[str]:
    """The topics on which an alarm spoke."""
    return {
        mail.topic_arn
        for mail in room.cloud.mail(since)
        if mail.subject.startswith("ALARM") and room.parts[name] in mail.subject
    }


@pytest.mark.parametrize(
    ("schedule", "alarm", "period_s"),
    [
        ("HealthSchedule", "HealthHeartbeatAlarm", QUARTER_S),
        ("SweepSchedule", "SweepHeartbeatAlarm", HOUR_S),
    ],
)
def test_a_heartbeat_that_does_not_come_is_told_and_one_that_comes_is_not(
    room: Room, schedule: str, alarm: str, period_s: int
) -> None:
    cloud = room.cloud
    since = len(cloud.mail())
    for _ in range(3):
        cloud.advance(period_s + 1)
    assert cloud.alarms()[room.parts[alarm]] == "OK"
    scheduler, kept = schedule_as_it_is(room, schedule)
    scheduler.delete_schedule(Name=kept["Name"])
    for _ in range(2):
        cloud.advance(period_s)
    assert spoke(room, alarm, since) == set()
    for _ in range(2):
        cloud.advance(period_s)
    assert cloud.alarms()[room.parts[alarm]] == "ALARM"
    assert spoke(room, alarm, since) == {room.parts["AlertTopic"], room.parts["SilenceTopic"]}
    scheduler.create_schedule(**kept)
    described = room.client("cloudwatch").describe_alarms(AlarmNames=[room.parts[alarm]])["MetricAlarms"][0]
    assert set(described["AlarmActions"]) == {room.parts["AlertTopic"], room.parts["SilenceTopic"]}
