"""CloudWatch alarms by the movable clock: periods reach back from now, a change of state sends what its actions say.

Simpler than CloudWatch: periods are not aligned to the minute, and no datapoints older than the evaluated periods
stand in for missing ones. Source: CloudWatch user guide, "How alarms treat missing data".
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from local import emulator, permissions, topics
from local.clock import Clock

Alarm = dict[str, Any]

_SENDER = "cloudwatch.amazonaws.com"
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": float.__ge__,
    "GreaterThanThreshold": float.__gt__,
    "LessThanThreshold": float.__lt__,
    "LessThanOrEqualToThreshold": float.__le__,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """One period, in moved epoch seconds; `since` is not part of it."""

    since: float
    until: float


class Alarms:
    """All metric alarms of this cloud."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # By ARN: the stamp an alarm carried when it was first seen, and the moved time of that.
        self._created: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def evaluate_all(self) -> list[dict[str, str]]:
        """Evaluate every alarm now, and answer all states."""
        for (account, region, _), alarm in list(emulator.cloudwatch._alarms._data.items()):
            with emulator.responses.request_scope(account, region):
                self.evaluate(alarm)
        return [
            {"name": name, "region": region, "state": alarm["StateValue"]}
            for kind in (emulator.cloudwatch._alarms, emulator.cloudwatch._composite_alarms)
            for (_, region, name), alarm in list(kind._data.items())
        ]

    def arrived(self, metrics: set[tuple[str, str]]) -> None:
        """Evaluate the alarms on metrics that got a datapoint, in the account and Region of the request scope."""
        for alarm in list(emulator.cloudwatch._alarms.values()):
            if (alarm.get("Namespace"), alarm.get("MetricName")) in metrics:
                self.evaluate(alarm)

    def evaluate(self, alarm: Alarm) -> None:
        """Set the state an alarm has now; an alarm on no single metric keeps its own."""
        if not alarm.get("Namespace") or alarm.get("ComparisonOperator") not in _COMPARE:
            return
        with self._lock:
            new, reason = self._judge(alarm)
            old = alarm["StateValue"]
            if new == old:
                return
            alarm |= {"StateValue": new, "StateReason": reason, "StateUpdatedTimestamp": int(self._clock.time())}
        # Not under the lock: what is published may run a function, and its metrics come back here.
        emulator.cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
        emulator.cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
        emulator.cloudwatch._evaluate_parent_alarms(alarm)

    def _judge(self, alarm: Alarm) -> tuple[str, str]:
        """The state by the datapoints, and why."""
        count, created = int(alarm["EvaluationPeriods"]), self._created_at(alarm)
        wanted = int(alarm.get("DatapointsToAlarm") or count)
        windows = list(self._windows(alarm, count))
        found = [(each, self._value(alarm, each)) for each in windows]
        values = [value for _, value in found if value is not None]
        # A period that began before the alarm was there is not missing: nobody waited for it.
        missing = sum(1 for window, value in found if value is None and window.since >= created)
        breaching = sum(1 for each in values if _COMPARE[alarm["ComparisonOperator"]](each, float(alarm["Threshold"])))
        state = _state(alarm, values=len(values), breaching=breaching, missing=missing, wanted=wanted, count=count)
        shown = ", ".join(f"{value:g}" for value in values) or "no datapoints"
        reason = f"Threshold Crossed: {shown} in {count} period(s), {alarm['ComparisonOperator']} {alarm['Threshold']}"
        return state, reason

    def _created_at(self, alarm: Alarm) -> float:
        stamp = int(alarm["StateUpdatedTimestamp"])
        is_initial = str(alarm["StateReason"]).startswith("Unchecked: Initial")
        known = self._created.get(alarm["AlarmArn"])
        # One of the same name that was deleted and made again starts anew.
        if known is None or (is_initial and known[0] != stamp):
            known = self._created[alarm["AlarmArn"]] = (stamp, self._clock.time())
        return known[1]

    def _windows(self, alarm: Alarm, count: int) -> Iterator[_Window]:
        now, period = self._clock.time(), float(alarm["Period"])
        for index in range(count):
            yield _Window(since=now - (index + 1) * period, until=now - index * period)

    def _value(self, alarm: Alarm, window: _Window) -> float | None:
        dimensions = {each["Name"]: each["Value"] for each in alarm.get("Dimensions") or []}
        if alarm["Namespace"] == "AWS/SQS":
            return self._queue_value(alarm["MetricName"], dimensions.get("QueueName", ""), window.until)
        key = (alarm["Namespace"], alarm["MetricName"], emulator.cloudwatch._dims_key(dimensions))
        points = [
            each
            for each in list(emulator.cloudwatch._metrics.get(key) or [])
            if window.since < each["Timestamp"] <= window.until
        ]
        statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
        value = emulator.cloudwatch._stat_value(emulator.cloudwatch._calc_stats(points), statistic, points)
        return float(value) if points and value is not None else None

    def _queue_value(self, metric: str, queue_name: str, at: float) -> float | None:
        """A queue's metric at that time, as far as what still waits in it tells; None for another metric or queue."""
        queue = next((each for each in emulator.sqs._queues.values() if each["name"] == queue_name), None)
        if queue is None:
            return None
        waiting = [each for each in list(queue["messages"]) if self._clock.moved(each["sent_at"]) <= at]
        if metric == "ApproximateNumberOfMessagesVisible":
            return float(sum(1 for each in waiting if each["visible_at"] <= time.time()))
        if metric == "ApproximateAgeOfOldestMessage":
            return max((at - self._clock.moved(each["sent_at"]) for each in waiting), default=0.0)
        return None


def _state(alarm: Alarm, *, values: int, breaching: int, missing: int, wanted: int, count: int) -> str:
    """ALARM, OK, INSUFFICIENT_DATA, or the state it has."""
    treatment = alarm.get("TreatMissingData") or "missing"
    if treatment == "breaching":
        is_known = values or missing >= wanted
        return ("ALARM" if breaching + missing >= wanted else "OK") if is_known else alarm["StateValue"]
    if treatment == "notBreaching":
        return "ALARM" if breaching >= wanted else "OK"
    if not values:
        return str(alarm["StateValue"]) if treatment == "ignore" else "INSUFFICIENT_DATA"
    if treatment == "missing":
        return "ALARM" if breaching >= min(wanted, values) else "OK"
    if breaching >= wanted:
        return "ALARM"
    return "OK" if values - breaching > count - wanted else str(alarm["StateValue"])


def install(clock: Clock) -> Alarms:
    """Take the place of ministack's evaluation, and stand before its actions."""
    alarms = Alarms(clock)
    emulator.cloudwatch._evaluate_alarm = alarms.evaluate
    emulator.cloudwatch._dispatch_alarm_actions = _to_willing_topics(emulator.cloudwatch._dispatch_alarm_actions)
    return alarms


def _to_willing_topics(dispatch: Callable[..., None]) -> Callable[..., None]:
    def dispatched(alarm: Alarm, old_state: str, new_state: str, reason: str) -> None:
        actions = {
            name: [each for each in alarm.get(name) or [] if _is_willing(each, alarm["AlarmArn"])]
            for name in ("AlarmActions", "OKActions", "InsufficientDataActions")
        }
        dispatch(alarm | actions, old_state, new_state, reason)

    return dispatched


def _is_willing(action: str, alarm_arn: str) -> bool:
    """Whether CloudWatch may publish there: a topic's policy and its key's admit it, and the key is usable."""
    if ":sns:" not in action:
        return True
    if not _is_admitted(action, alarm_arn) or topics.key_refusal(action):
        return False
    return topics.key_admits(action, _SENDER, alarm_arn)


def _is_admitted(topic_arn: str, alarm_arn: str) -> bool:
    """As ministack asks for S3's notifications, with one key more: a service is what publishes."""
    topic = emulator.sns._topic_by_arn_any_scope(topic_arn)
    policy = topic["attributes"].get("Policy") if topic else ""
    if not policy:
        return False
    account = emulator.responses.get_account_id()
    keys = {"aws:sourceowner": account, "aws:principalisawsservice": "true"}
    return permissions.service_may(policy, _SENDER, "sns:Publish", topic_arn, alarm_arn, keys)
