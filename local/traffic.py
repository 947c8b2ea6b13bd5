"""The log of API calls, and faults injected before a call reaches its service."""

import hashlib
import json
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any
from xml.sax.saxutils import escape

from local import cbor
from local.exchange import Answer, Request
from local.granted import LOG_LIMIT
from local.identity import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedCall:
    """One call; `mfa` is a hash of device and code, so that tests can see that none was used twice."""

    at: float
    service: str
    operation: str
    action: str
    resource: str
    principal: str
    status: int
    error: str
    mfa: str


class CallLog:
    """The latest calls, oldest first."""

    def __init__(self) -> None:
        self._calls: deque[LoggedCall] = deque(maxlen=LOG_LIMIT)

    def add(self, request: Request, answer: Answer, caller: Caller | None) -> None:
        header = request.headers.get("x-amz-mfa", "")
        self._calls.append(
            LoggedCall(
                at=time.time(),
                service=request.service,
                operation=request.operation,
                action=request.action,
                resource=request.path if request.service == "s3" else "",
                principal=caller.arn if caller else "",
                status=answer.status,
                error=answer.error[0],
                mfa=hashlib.sha256(header.encode()).hexdigest()[:16] if header else "",
            )
        )

    def as_json(self, **wanted: object) -> list[dict[str, Any]]:
        """All of them, or those whose members are as wanted. Raises AttributeError when there is no such member."""
        fitting = (each for each in self._calls if all(getattr(each, name) == wanted[name] for name in wanted))
        return [asdict(each) for each in fitting]

    def clear(self) -> None:
        self._calls.clear()


@dataclass(kw_only=True)
class Fault:
    """Answer the next `times` matching calls with an error (status), only delay them, or both; times None: always."""

    service: str
    match: str = ""
    times: int | None = 1
    status: int | None = None
    code: str = "InternalError"
    message: str = "Injected by local/"
    delay: float = 0.0


class Faults:
    """The faults in force; replaced as a whole."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def replace(self, wanted: list[dict[str, Any]]) -> None:
        """Raises TypeError when an entry has an unknown or missing member."""
        self._faults = [Fault(**each) for each in wanted]

    def take(self, request: Request) -> Fault | None:
        for fault in self._faults:
            is_meant = fault.service == request.service and fault.match in request.operation
            if is_meant and fault.times != 0:
                fault.times = None if fault.times is None else fault.times - 1
                return fault
        return None


def fault_answer(fault: Fault, request: Request) -> Answer:
    """The error in the caller's own protocol."""
    if "cbor" in request.headers.get("smithy-protocol", ""):
        body, kind = cbor.dumps({"__type": fault.code, "message": fault.message}), "application/cbor"
    elif "json" in request.headers.get("content-type", "") or request.service in ("lambda", "scheduler"):
        body = json.dumps({"__type": fault.code, "message": fault.message}).encode()
        kind = "application/x-amz-json-1.1"
    else:
        error = f"<Code>{escape(fault.code)}</Code><Message>{escape(fault.message)}</Message>"
        whole = f"<Error>{error}</Error>"
        body = (whole if request.service == "s3" else f"<ErrorResponse>{whole}</ErrorResponse>").encode()
        kind = "application/xml"
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(b"x-amzn-errortype", fault.code.encode())]
    if "cbor" in kind:
        headers.append((b"smithy-protocol", b"rpc-v2-cbor"))
    return Answer(status=fault.status or 500, headers=headers, body=body)
