"""The ASGI application: ministack with this room's layer around every call."""

import asyncio
import sys
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from local import (
    alarms,
    cbor,
    clock,
    dead_letters,
    delivery,
    emulator,
    forwarding,
    metrics,
    mfa_delete,
    organization,
    packages,
    permissions,
    recorder,
    root,
    selectors,
    system_tags,
    topics,
    trail,
)
from local.alarms import Alarms
from local.clock import Clock
from local.devices import Devices
from local.exchange import Answer, Request
from local.identity import Caller, caller_of
from local.root import Root
from local.topics import Outbox
from local.traffic import CallLog, Faults, fault_answer

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(kw_only=True)
class State:
    """Everything this room remembers beside ministack."""

    account: str
    region: str
    clock: Clock
    devices: Devices
    root: Root
    alarms: Alarms
    outbox: Outbox = field(default_factory=Outbox)
    calls: CallLog = field(default_factory=CallLog)
    faults: Faults = field(default_factory=Faults)
    records: deque[trail.Record] = field(default_factory=lambda: deque(maxlen=20_000))


Admin = Callable[[Request], Awaitable[Answer]]


def install(account: str, region: str, lab_key: tuple[str, str], batching_window_s: float | None) -> State:
    """Put every part in place inside ministack."""
    movable = Clock()
    devices = Devices(account, movable)
    state = State(
        account=account, region=region, clock=movable, devices=devices, root=Root(account, lab_key, devices),
        alarms=alarms.install(movable),
    )  # fmt: skip
    # ministack imports it when a CloudWatch call comes, and does not require it.
    sys.modules["cbor2"] = cbor
    clock.install(movable)
    metrics.install(movable, state.alarms.arrived)
    delivery.install(batching_window_s)
    forwarding.install()
    dead_letters.install()
    packages.install()
    permissions.install()
    mfa_delete.install(devices)
    system_tags.install()
    root.install(state.root)
    topics.install(state.outbox)
    selectors.put_lab_trail(account, region)
    organization.install()
    return state


class Gateway:
    """One instance serves the process; event_delay_s is the lag of CloudTrail records."""

    def __init__(self, state: State, admin: Admin, event_delay_s: float) -> None:
        self._state, self._admin, self._delay_s = state, admin, event_delay_s
        # One thread, so records leave in the order of the calls.
        self._publisher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="trail")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await emulator.app.app(scope, receive, send)
            return
        request = await _read(scope, receive)
        answer = await self._answer(request, scope, receive)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, request: Request, scope: Scope, receive: Receive) -> Answer:
        if request.path.startswith("/_local/"):
            return await self._admin(request)
        fault = self._state.faults.take(request)
        if fault and fault.delay:
            await asyncio.sleep(fault.delay)
        caller = caller_of(request.headers, request.query)
        if fault and fault.status:
            answer = fault_answer(fault, request)
        else:
            answer = await self._call(request, caller, scope, receive)
        self._state.calls.add(request, answer, caller)
        return answer

    async def _call(self, request: Request, caller: Caller | None, scope: Scope, receive: Receive) -> Answer:
        """Let ministack answer, and record the call when CloudTrail would."""
        request_id = uuid.uuid4().hex[:16].upper()
        delivery.request_id.set(request_id)
        recording = recorder.start(request, caller, request_id) if caller else None
        answer = await _forward(request, scope, receive)
        if request.service == "s3":
            answer = _with_request_id(answer, request_id)
        if recording:
            self._record(recording, answer)
        return answer

    def _record(self, recording: recorder.Recording, answer: Answer) -> None:
        records = recording.records(answer)
        self._state.records.extend(records)
        logged = recording.logged(records)

        def publish() -> None:
            for record in logged:
                self._publisher.submit(_publish, record, metrics.underway.begin())

        asyncio.get_running_loop().call_later(self._delay_s, publish)


def _publish(record: trail.Record, token: object) -> None:
    """What it starts is underway before it is not any more."""
    try:
        trail.publish(record)
    finally:
        metrics.underway.end(token)


async def _read(scope: Scope, receive: Receive) -> Request:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=parse_qs(scope.get("query_string", b"").decode(), keep_blank_values=True),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
    )


async def _forward(request: Request, scope: Scope, receive: Receive) -> Answer:
    """Replay the request to ministack, byte for byte since its hash is signed, and gather the whole answer."""
    start: dict[str, Any] = {}
    chunks: list[bytes] = []
    bodies = iter([{"type": "http.request", "body": request.body, "more_body": False}])

    async def replay() -> dict[str, Any]:
        return next(bodies, None) or await receive()

    async def gather(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        elif message["type"] == "http.response.body":
            chunks.append(message.get("body", b""))

    await emulator.app.app(scope, replay, gather)
    return Answer(status=start["status"], headers=list(start.get("headers", [])), body=b"".join(chunks))


def _with_request_id(answer: Answer, request_id: str) -> Answer:
    """S3's request ids are 16 characters; the same one stands in the record of the call."""
    kept = [(name, value) for name, value in answer.headers if name.decode().lower() != "x-amz-request-id"]
    headers = [*kept, (b"x-amz-request-id", request_id.encode())]
    return Answer(status=answer.status, headers=headers, body=answer.body)
