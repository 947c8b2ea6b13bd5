"""The paths under `/_local/`: what tests and demos may ask and change from outside (listed in server.py)."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from local import devices, emulator, metrics, organization, selectors, topics
from local.exchange import Answer, Request
from local.gateway import State

Payload = dict[str, Any]
Path = Callable[[State, Any], Any]

SETTLE_LIMIT_S = 25.0


def answer_for(state: State) -> Callable[[Request], Awaitable[Answer]]:
    """The function the gateway calls for `/_local/...`."""

    async def answer(request: Request) -> Answer:
        path = _PATHS.get((request.method, request.path))
        if path is None:
            return _json(404, {"error": f"no {request.method} {request.path}"})
        try:
            value = path(state, json.loads(request.body or b"{}"))
            return _json(200, await value if isinstance(value, Awaitable) else value)
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            return _json(400, {"error": f"{type(wrong).__name__}: {wrong}"})

    return answer


def _json(status: int, value: Any) -> Answer:
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return Answer(status=status, headers=headers, body=body)


def _health(state: State, _: Payload) -> Payload:
    return {"account": state.account, "now": state.clock.time()}


def _reset(state: State, _: Payload) -> Payload:
    """Empty everything but the clock and the codes already spent."""
    emulator.app._reset_all_state()
    state.root.restore()
    selectors.put_lab_trail(state.account, state.region)
    organization.restore()
    state.outbox.clear()
    state.calls.clear()
    state.records.clear()
    state.faults.replace([])
    return {}


def _mail(state: State, wanted: Payload) -> list[Payload]:
    return state.outbox.as_json(int(wanted.get("since", 0)))


def _confirm(state: State, wanted: Payload) -> list[str]:
    return topics.confirm(wanted.get("endpoint"))


def _calls(state: State, wanted: Payload) -> list[Payload]:
    return state.calls.as_json(**wanted)


def _records(state: State, _: Payload) -> list[Payload]:
    return list(state.records)


def _faults(state: State, wanted: list[Payload]) -> Payload:
    state.faults.replace(wanted)
    return {"in_force": len(wanted)}


async def _clock(state: State, wanted: Payload) -> Payload:
    state.clock.advance(float(wanted["advance"]))
    await _settled()
    state.alarms.evaluate_all()
    return {"now": state.clock.time()}


async def _settled() -> None:
    """Let events and the schedules that fell due do their work first: an alarm on their silence would be false."""
    deadline = time.monotonic() + SETTLE_LIMIT_S
    while not metrics.underway.is_empty() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)


def _alarms(state: State, _: Payload) -> list[dict[str, str]]:
    return state.alarms.evaluate_all()


def _devices(state: State, _: Payload) -> list[Payload]:
    return [devices.as_json(each) for each in state.devices.all()]


def _add_device(state: State, wanted: Payload) -> Payload:
    return devices.as_json(state.devices.add(wanted["kind"], wanted["name"]))


def _remove_device(state: State, wanted: Payload) -> Payload:
    state.devices.remove(wanted["serial"])
    return {}


def _switch_device(state: State, wanted: Payload) -> Payload:
    state.devices.set_active(wanted["serial"], bool(wanted["active"]))
    return {}


def _code(state: State, wanted: Payload) -> Payload:
    return {"code": state.devices.next_code(wanted.get("serial", state.devices.default.serial))}


def _root_session(state: State, _: Payload) -> Payload:
    return dict(state.root.session())


_PATHS: dict[tuple[str, str], Path] = {
    ("GET", "/_local/health"): _health,
    ("POST", "/_local/reset"): _reset,
    ("GET", "/_local/mail"): _mail,
    ("POST", "/_local/subscriptions/confirm"): _confirm,
    ("GET", "/_local/calls"): _calls,
    ("GET", "/_local/records"): _records,
    ("POST", "/_local/faults"): _faults,
    ("POST", "/_local/clock"): _clock,
    ("POST", "/_local/alarms"): _alarms,
    ("GET", "/_local/devices"): _devices,
    ("POST", "/_local/devices"): _add_device,
    ("DELETE", "/_local/devices"): _remove_device,
    ("POST", "/_local/devices/active"): _switch_device,
    ("POST", "/_local/code"): _code,
    ("POST", "/_local/root/session"): _root_session,
}
