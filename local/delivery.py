"""What ministack's own delivery lacks: retries and on-failure, batching windows, the details of S3's own deletes.

Each part takes the place of one private function of ministack and calls it where it can.
"""

import json
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from local import emulator

# Set per API call, so that S3's own event carries the request id of the call that caused it.
request_id: ContextVar[str] = ContextVar("request_id", default="")
_deleted_version: ContextVar[str | None] = ContextVar("deleted_version", default=None)


def install(batching_window_s: float | None) -> None:
    """Put all parts in place; batching_window_s replaces every window that is not zero, None leaves them as set."""
    emulator.eventbridge._dispatch_to_lambda = _invoke_with_retries
    emulator.eventbridge._dispatch_event = _with_s3_shape(emulator.eventbridge._dispatch_event)
    emulator.s3._fire_s3_event = _with_version(emulator.s3._fire_s3_event)
    receive = emulator.sqs._receive_messages_for_esm
    emulator.sqs._receive_messages_for_esm = _held(receive, batching_window_s)


# Asynchronous invocations -------------------------------------------------------------------------------------------


def _invoke_with_retries(arn: str, payload: str) -> None:
    function, config, _ = emulator.lambda_svc._get_func_record_for_ref(arn)
    if function and config:
        record = emulator.lambda_svc._execution_record_for_config(function, config)
        emulator.lambda_svc.invoke_async_with_retry(record, json.loads(payload))


# Batching windows of queues -----------------------------------------------------------------------------------------


def _held(receive: Callable[[str, int], list[Any]], override_s: float | None) -> Callable[[str, int], list[Any]]:
    def receive_when_due(queue_url: str, batch_size: int) -> list[Any]:
        queue = emulator.sqs._queues.get(queue_url)
        window_s = _window_of(queue, override_s)
        if window_s:
            waiting = sorted(each["visible_at"] for each in queue["messages"] if each["visible_at"] <= time.time())
            if not waiting:
                return []
            left_s = waiting[0] + window_s - time.time()
            if left_s > 0 and len(waiting) < batch_size:
                threading.Timer(left_s, emulator.concurrency.esm_wake.set).start()
                return []
        return _fill(receive, queue_url, batch_size)

    return receive_when_due


def _fill(receive: Callable[[str, int], list[Any]], queue_url: str, batch_size: int) -> list[Any]:
    # ministack hands out ten messages a time; a batch with a window may hold up to 10,000.
    batch: list[Any] = []
    while len(batch) < batch_size and (more := receive(queue_url, batch_size - len(batch))):
        batch += more
    return batch


def _window_of(queue: dict[str, Any] | None, override_s: float | None) -> float:
    arn = queue["attributes"].get("QueueArn") if queue else None
    for _, _, mapping in emulator.lambda_svc._iter_all_esms():
        if mapping.get("EventSourceArn") == arn and mapping.get("MaximumBatchingWindowInSeconds"):
            return float(mapping["MaximumBatchingWindowInSeconds"] if override_s is None else override_s)
    return 0.0


# S3's own events ----------------------------------------------------------------------------------------------------


def _with_version(fire: Callable[..., None]) -> Callable[..., None]:
    def fire_with_version(bucket: str, key: str, event_name: str, *args: Any, **more: Any) -> None:
        # ministack leaves the version id out of what it sends to EventBridge.
        token = _deleted_version.set(more.get("version_id") if event_name.startswith("s3:ObjectRemoved") else None)
        try:
            fire(bucket, key, event_name, *args, **more)
        finally:
            _deleted_version.reset(token)

    return fire_with_version


def _with_s3_shape(dispatch: Callable[..., None]) -> Callable[..., None]:
    def dispatch_shaped(event: dict[str, Any], view: Any = None) -> None:
        if event.get("Source") == "aws.s3" and event.get("DetailType") == "Object Deleted":
            event = event | {"Detail": json.dumps(_deleted(json.loads(event["Detail"])))}
        dispatch(event, view)

    return dispatch_shaped


def _deleted(detail: dict[str, Any]) -> dict[str, Any]:
    """Detail of `Object Deleted`: no size, an etag only when known, the version id, the id of the causing call."""
    shown = {name: value for name, value in detail["object"].items() if name != "size" and value != ""}
    version = _deleted_version.get()
    if version:
        shown["version-id"] = version
    return detail | {"object": shown, "request-id": request_id.get() or detail["request-id"]}
