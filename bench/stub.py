"""AWS as a bench needs it: one HTTP server on 127.0.0.1 that answers after a fixed delay and counts what it is asked.

with Stub(answers, delay_s=0.02) as stub:
    subprocess.run(command, env=stub.environment())
    print(stub.counts())

It runs in a process of its own, so that it does not share an interpreter with what is measured. What is answered is an
`Answers`: account.py plays an account with buckets, recorded.py repeats what the embedded cloud said.
"""

import asyncio
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import parse_qsl, unquote, urlsplit

HOST, REGION, ACCOUNT = "127.0.0.1", "us-east-1", "111122223333"
START_LIMIT_S = 10.0
LAUNCH = Path(__file__).parent / "parts" / "launch.py"
_SCOPE = re.compile(rb"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.I)
_TARGET = re.compile(rb"\r\nx-amz-target: *\w+\.(\w+)", re.I)
_CBOR = re.compile(r"/service/\w+/operation/(\w+)")
_PLAIN = {"x-id", "max-buckets", "continuation-token", "list-type", "prefix", "max-keys", "encoding-type"}
"""What S3's queries carry beside the name of a sub-resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request: `operation` is the API's own name, or method and path where a request does not say it, as with S3."""

    service: str
    region: str
    operation: str
    bucket: str
    query: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/xml"


class Answers(Protocol):
    """Says what a call is answered; made in the server's process, so it has to be picklable."""

    def __call__(self, call: Call) -> Answer:
        """Answer."""


def call_of(method: str, target: str, head: bytes, body: bytes) -> Call:
    """What a request asks for; S3's are told by sub-resource, JSON's by header, queries' by `Action`."""
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    scope = _SCOPE.search(head)
    region, service = (part.decode() for part in scope.groups()) if scope else (REGION, "")
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    if service == "s3":
        return Call(
            service=service, region=region, operation=_s3_operation(method, bucket, key, query), bucket=bucket,
            query=query, body=body,
        )  # fmt: skip
    named = _TARGET.search(head)
    by_path = _CBOR.search(parts.path)
    operation = named[1].decode() if named else by_path[1] if by_path else ""
    if not operation and (form := dict(parse_qsl(body.decode("utf-8", "replace")))).get("Action"):
        operation, query = form["Action"], form
    operation = operation or f"{method} {parts.path}"
    return Call(service=service, region=region, operation=operation, bucket="", query=query, body=body)


def _s3_operation(method: str, bucket: str, key: str, query: Mapping[str, str]) -> str:
    """As in `GET bucket?versioning`."""
    resource = "key" if key else "bucket" if bucket else "/"
    return "?".join([f"{method} {resource}", *(name for name in query if name not in _PLAIN)][:2])


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive; requests of one connection come one after the other."""

    def __init__(self, answer: Callable[[Call], Answer], counts: Counter[str], delay_s: float) -> None:
        self._answer, self._counts, self._delay_s = answer, counts, delay_s
        self._got = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._got[:end])
        length = _LENGTH.search(head)
        missing = end + 4 + int(length[1]) - len(self._got) if length else 0
        if b"100-continue" in head.lower() and len(self._got) == end + 4:
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if missing > 0 or (_CHUNKED.search(head) and not self._got.endswith(b"0\r\n\r\n")):
            return
        body = bytes(self._got[end + 4 :])
        self._got.clear()
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        self._respond(call_of(method, target, head, body))

    def _respond(self, call: Call) -> None:
        self._counts[f"{call.service}:{call.operation}"] += 1
        answer = self._answer(call)
        head = (
            f"HTTP/1.1 {answer.status} -\r\nContent-Type: {answer.content_type}\r\n"
            f"Content-Length: {len(answer.body)}\r\nx-amz-request-id: {sum(self._counts.values()):016X}\r\n\r\n"
        )
        asyncio.get_running_loop().call_later(self._delay_s, self._send, head.encode() + answer.body)

    def _send(self, data: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)


async def _serve(answers: Answers, delay_s: float, pipe: Connection) -> None:
    counts: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answers, counts, delay_s), HOST, 0, backlog=512)
    pipe.send(server.sockets[0].getsockname()[1])
    while (asked := await loop.run_in_executor(None, _received, pipe)) != "end":
        if asked == "counts":
            pipe.send(dict(counts))
        counts.clear()


def _received(pipe: Connection) -> str:
    try:
        return str(pipe.recv())
    except EOFError:
        return "end"


def _run(answers: Answers, delay_s: float, pipe: Connection) -> None:
    asyncio.run(_serve(answers, delay_s, pipe))


class Stub:
    """The server, while the `with` lasts."""

    def __init__(self, answers: Answers, *, delay_s: float = 0.0) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_run, args=(answers, delay_s, far), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        if not self._pipe.poll(START_LIMIT_S):
            raise TimeoutError("the stub server did not start")
        self.endpoint = f"http://{HOST}:{self._pipe.recv()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.send("end")
        self._process.join(5)

    def counts(self) -> Counter[str]:
        """How often each operation was asked for since the last time, as `service:Operation`."""
        self._pipe.send("counts")
        return Counter(self._pipe.recv())

    def environment(self) -> dict[str, str]:
        """For a process whose calls come here, and nowhere else."""
        return environment(self.endpoint)


def environment(endpoint: str) -> dict[str, str]:
    """What a process needs to call this endpoint; nothing of the caller's but the path."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",  # pragma: allowlist secret - the stub takes any
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A process that ended: what it wrote, seconds of wall and of CPU, and its peak memory in MiB."""

    stdout: str
    stderr: str
    wall_s: float
    cpu_s: float
    peak_mib: float


def finished(command: Sequence[str], environment: Mapping[str, str], *, fine: Sequence[int] = (0,)) -> Finished:
    """Run it to its end. Raises RuntimeError with its last words when its exit code is not among `fine`."""
    with tempfile.TemporaryDirectory() as room:
        told = Path(room) / "taken.json"
        launch = [sys.executable, "-S", "-E", str(LAUNCH), str(told), *command]
        done = subprocess.run(launch, env=environment, capture_output=True, text=True, check=True)
        taken = json.loads(told.read_text(encoding="utf-8"))
    if (exit_code := taken.pop("code")) not in fine:
        raise RuntimeError(f"{' '.join(command)} ended with {exit_code}:\n{done.stderr[-2000:]}")
    return Finished(stdout=done.stdout, stderr=done.stderr, **taken)


def as_json(value: object) -> Answer:
    """An answer of a JSON protocol."""
    return Answer(body=json.dumps(value).encode(), content_type="application/x-amz-json-1.1")
