"""CloudWatch metrics of functions: what they log in the embedded metric format, and Lambda's own counts per attempt.

ministack counts an asynchronous invocation once, when it is accepted, and never its failures; mappings it counts not
at all. Here every attempt that ran counts, whoever asked for it, and a throttled one only as throttled.
"""

import json
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from local import emulator
from local.clock import Clock

# (namespace, metric name) of what just arrived, in the account and Region of the request scope.
Arrived = Callable[[set[tuple[str, str]]], None]


class _Underway:
    """Records on their way to EventBridge, and asynchronous invocations whose first attempt has not ended yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[object] = set()

    def begin(self) -> object:
        token = object()
        with self._lock:
            self._waiting.add(token)
        return token

    def end(self, token: object) -> None:
        with self._lock:
            self._waiting.discard(token)

    def is_empty(self) -> bool:
        return not self._waiting


underway = _Underway()
_token: ContextVar[object] = ContextVar("asynchronous_invocation", default=None)


def install(clock: Clock, arrived: Arrived) -> None:
    """Stand in front of ministack's execution, its logs and its counts; its CloudWatch follows the clock."""
    emulator.cloudwatch.time = _Time(clock)
    lambda_svc = emulator.lambda_svc
    lambda_svc._emit_lambda_metrics = _count_throttle(lambda_svc._emit_lambda_metrics)
    lambda_svc._execute_function_dispatch = _counted(lambda_svc._execute_function_dispatch, arrived)
    lambda_svc._emit_lambda_logs = _with_embedded(lambda_svc._emit_lambda_logs, arrived)
    lambda_svc._execute_function = _ending(lambda_svc._execute_function)
    lambda_svc.invoke_async_with_retry = _beginning(lambda_svc.invoke_async_with_retry)


class _Time:
    """The module `time` as ministack's CloudWatch sees it."""

    def __init__(self, clock: Clock) -> None:
        self.time = clock.time

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def _record(namespace: str, name: str, value: float, dimensions: dict[str, str], unit: str = "Count") -> None:
    emulator.cloudwatch.record_metric(namespace, name, value, unit, dimensions)


# Lambda's own counts ------------------------------------------------------------------------------------------------


def _count_throttle(_: Callable[..., None]) -> Callable[..., None]:
    def counted(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:
        # A refused synchronous call is told twice, the second time with how long it took.
        if throttle and not duration_ms:
            _record("AWS/Lambda", "Throttles", 1, {"FunctionName": function_name})

    return counted


def _counted(dispatch: Callable[..., dict[str, Any]], arrived: Arrived) -> Callable[..., dict[str, Any]]:
    def counted(func: dict[str, Any], config: dict[str, Any], *rest: Any) -> dict[str, Any]:
        result = dispatch(func, config, *rest)
        name = {"FunctionName": str(config.get("FunctionName", ""))}
        _record("AWS/Lambda", "Invocations", 1, name)
        _record("AWS/Lambda", "Errors", int(bool(result.get("error"))), name)
        arrived({("AWS/Lambda", "Invocations"), ("AWS/Lambda", "Errors")})
        return result

    return counted


def _beginning(invoke: Callable[..., None]) -> Callable[..., None]:
    def begun(func: dict[str, Any], event: dict[str, Any]) -> None:
        # The thread that runs the attempts takes a copy of this context with it.
        reset = _token.set(underway.begin())
        try:
            invoke(func, event)
        finally:
            _token.reset(reset)

    return begun


def _ending(execute: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def ended(func: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
        try:
            return execute(func, event)
        finally:
            underway.end(_token.get())

    return ended


# The embedded metric format -----------------------------------------------------------------------------------------


def _with_embedded(emit: Callable[..., None], arrived: Arrived) -> Callable[..., None]:
    def emitted(func: dict[str, Any], request_id: str, log_text: str, *rest: Any, **more: Any) -> None:
        emit(func, request_id, log_text, *rest, **more)
        found: set[tuple[str, str]] = set()
        for line in log_text.splitlines():
            found |= _embedded(line)
        if found:
            arrived(found)

    return emitted


def _embedded(line: str) -> set[tuple[str, str]]:
    """Store the metrics of one log line and return which they were; a line of another kind has none."""
    if '"_aws"' not in line:
        return set()
    try:
        whole = json.loads(line)
        directives = whole["_aws"]["CloudWatchMetrics"]
    except (ValueError, KeyError, TypeError):
        return set()
    return {each for directive in directives for each in _directive(directive, whole)}


def _directive(directive: dict[str, Any], whole: dict[str, Any]) -> set[tuple[str, str]]:
    namespace = str(directive["Namespace"])
    found = set()
    for metric in directive.get("Metrics", []):
        for names in directive.get("Dimensions") or [[]]:
            dimensions = {each: str(whole[each]) for each in names if each in whole}
            for value in _values(whole.get(metric["Name"])):
                _record(namespace, metric["Name"], value, dimensions, metric.get("Unit", "None"))
                found.add((namespace, metric["Name"]))
    return found


def _values(value: Any) -> list[float]:
    several = value if isinstance(value, list) else [value]
    return [float(each) for each in several if isinstance(each, int | float)]
