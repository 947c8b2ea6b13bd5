"""Faults between botocore and moto: throttled, failed, cut off, timed out, or carried out and the answer lost."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import botocore.exceptions
from botocore.awsrequest import AWSResponse


@dataclass
class Faults:
    """What goes wrong with calls to AWS, and how often it did."""

    luck: random.Random
    rate: float = 0.0
    excused: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def watch(self, client: Any) -> None:
        """Stand between botocore and moto."""
        client.meta.events.register_first("before-send.*.*", self._before)
        client.meta.events.register("after-call.*.*", self._after)
        client.meta.events.register("before-parameter-build.sns.Publish", self._measure)

    def _before(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        if self.luck.random() >= self.rate:
            return None
        service, operation = event_name.split(".")[1:3]
        kinds = ["throttle", "error 500", "timeout", "reset"]
        kind = self.luck.choice(kinds + ["conflict"] * (operation == "TransactWriteItems"))
        self.counts[f"{service}: {kind}"] += 1
        if kind == "timeout":
            raise botocore.exceptions.ReadTimeoutError(endpoint_url=request.url)
        if kind == "reset":
            raise botocore.exceptions.ConnectionClosedError(endpoint_url=request.url)
        url, request.url = request.url, "https://not-carried-out.example.com/"  # all who listen are asked, moto too
        return _answer(url, service, kind)

    def _measure(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        """How many alerts a message carries: so many come twice when its answer is lost."""
        context["alerts"] = len(json.loads(json.loads(params["Message"])["default"]).get("findings", [None]))

    def _after(self, event_name: str, context: dict[str, Any], **_: Any) -> None:
        """The call was carried out, but its answer is lost, after all of botocore's own tries."""
        service, operation = event_name.split(".")[1:3]
        is_write = operation in {"Publish", "TransactWriteItems", "DeleteItem", "UpdateItem"}
        if is_write and self.luck.random() < self.rate / 10:
            self.counts[f"{service}: lost answer"] += 1
            self.excused += context.get("alerts", 0)
            raise botocore.exceptions.ReadTimeoutError(endpoint_url="https://lost.example.com")


def _answer(url: str, service: str, kind: str) -> AWSResponse:
    if kind == "conflict":
        reasons = [{"Code": "TransactionConflict"}]
        status, body = 400, {"__type": "TransactionCanceledException", "CancellationReasons": reasons}
    else:
        code = "ThrottlingException" if kind == "throttle" else "InternalServerError"
        status, body = (400 if kind == "throttle" else 500), {"__type": code, "message": kind}
    raw = json.dumps(body).encode()
    if service in {"s3", "sns"}:
        code = (
            "SlowDown"
            if kind == "throttle" and service == "s3"
            else "Throttling"
            if kind == "throttle"
            else "InternalError"
        )
        status = 503 if code == "SlowDown" else status
        error = f"<Error><Code>{code}</Code><Message>{kind}</Message></Error>"
        raw = (error if service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>").encode()
    return AWSResponse(url, status, {"content-type": "application/x-amz-json-1.0"}, _Raw(raw))  # type: ignore[arg-type]


class _Raw:
    """The body of an answer, as botocore reads one."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._content

    def read(self, *_: Any) -> bytes:
        return self._content
