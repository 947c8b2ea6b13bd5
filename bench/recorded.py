"""What each function asks of AWS for one event, taken down once in the embedded cloud and answered again by a stub."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.stub import Answer, Call, call_of, finished
from local import clean, invoke, stack
from local.cloud import ROOM, Cloud
from local.runtime import BUILD, BuiltFunction
from local.story import TAG

PARTS = Path(__file__).parent / "parts"
SAMPLES = {
    "BucketChangeFunction": "put-bucket-versioning.root-disables.json",
    "VersionDeleteFunction": "delete-object.version-denied.json",
    "SweepFunction": "schedule.tick.json",
    "HealthFunction": "health.tick.json",
    "DrillFunction": "drill.tick.json",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A function's one run: its variables, the event, the calls that it made and how they were answered."""

    function: str
    handler: str
    environment: dict[str, str]
    event: Any
    calls: list[dict[str, Any]]
    answers: list[dict[str, Any]]


@dataclass
class Replies:
    """Gives each call its recorded answer; calls of one operation in their order, over and over."""

    answers: list[dict[str, Any]]
    _known: dict[tuple[str, str, str], list[Answer]] = field(default_factory=lambda: defaultdict(list))
    _given: dict[tuple[str, str, str], int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        for each in self.answers:
            call = call_of(each["method"], each["target"], each["head"].encode(), each["body"].encode())
            told = Answer(
                status=each["status"], body=each["answer"].encode("latin-1"), content_type=each["content_type"]
            )
            self._known[_key(call)].append(told)

    def __call__(self, call: Call) -> Answer:
        """As it was answered then."""
        key = _key(call)
        known = self._known.get(key)
        if not known:
            return Answer(status=500, body=f"never recorded: {key}".encode())
        self._given[key] += 1
        return known[(self._given[key] - 1) % len(known)]


def _key(call: Call) -> tuple[str, str, str]:
    return call.service, call.region, call.operation


def event_of(function: str) -> Any:
    """The function's sample, happening now."""
    event = json.loads((ROOM / "events" / SAMPLES[function]).read_text(encoding="utf-8"))
    moved = invoke.at(event, datetime.now(UTC))
    return invoke.as_batch(moved) if function == invoke.QUEUED else moved


@contextmanager
def deployed() -> Iterator[tuple[Cloud, dict[str, str]]]:
    """An embedded cloud in which the stack stands and a first sweep saw that somebody listens."""
    with Cloud.start(event_delay_s=invoke.NEVER_S) as cloud:
        outputs = stack.deploy(cloud, Drill="yes")
        stack.sweep(cloud, outputs)
        yield cloud, outputs


def record(cloud: Cloud, outputs: dict[str, str], function: str, *, tagged: bool = True) -> Recorded:
    """Run the built function once, and take down its calls; `tagged`: whether the event's bucket is enrolled then."""
    event, s3 = event_of(function), cloud.client("s3")
    bucket = invoke.bucket_of(event)
    if not s3.list_buckets(Prefix=bucket)["Buckets"]:
        invoke.make_bucket(cloud, event)
    if tagged:
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [TAG]})
    else:
        s3.delete_bucket_tagging(Bucket=bucket)
    folder = BUILD / function
    built = BuiltFunction.deployed(cloud, outputs[f"{function}Name"], folder, clean.python())
    with TemporaryDirectory() as room:
        asked, told = Path(room) / "event.json", Path(room) / "calls.json"
        asked.write_text(json.dumps(event))
        environment = built.environment() | {"HOME": room}
        command = [str(clean.python()), str(PARTS / "record.py"), built.handler, str(asked), str(told)]
        finished(command, environment)
        found = json.loads(told.read_text())
    return Recorded(function=function, handler=built.handler, environment=environment, event=event, **found)
