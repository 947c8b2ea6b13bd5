"""One event: the requests that it takes, beside Cloud Custodian, and our own CPU for it once a function is warm."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table

from bench import recorded
from bench.account import Account, Kind, kind_of, name_of
from bench.recorded import PARTS, Recorded, Replies
from bench.setup import python_of
from bench.show import table
from bench.stub import Stub, finished
from local import clean
from local.runtime import BUILD

TIMES = 60
FUNCTIONS = ("BucketChangeFunction", "VersionDeleteFunction")
SERVICES = {"s3": "S3", "dynamodb": "DynamoDB", "sns": "SNS"}
CUSTODIAN = {"plain": "Cloud Custodian", "detect": "Cloud Custodian, augment-keys: detect"}


def measure() -> dict[str, Any]:
    """Requests by service for each case; CPU milliseconds per event, ours and the floor's."""
    with recorded.deployed() as (cloud, outputs):
        other = recorded.record(cloud, outputs, FUNCTIONS[0], tagged=False)
        records = [recorded.record(cloud, outputs, function) for function in FUNCTIONS]
        again = recorded.record(cloud, outputs, FUNCTIONS[0])
    cases = {
        "a bucket that is not enrolled": other,
        "MFA delete turned off: one alert, with its runbook": records[0],
        "the same again: nothing new": again,
        "a refused version delete: one alert": records[1],
    }
    ours = {name: _by_service(Counter(call["service"] for call in each.calls)) for name, each in cases.items()}
    return {"requests": ours, "peers": _custodian(), "warm": {each.function: _warm(each) for each in records}}


def _by_service(counts: Mapping[str, int]) -> dict[str, int]:
    return {service: counts.get(service, 0) for service in SERVICES}


def _custodian() -> dict[str, dict[str, int] | None]:
    python = python_of("custodian")
    if python is None:
        return dict.fromkeys(CUSTODIAN.values())
    return {name: _custodian_asks(python, kind) for kind, name in CUSTODIAN.items()}


def _custodian_asks(python: Path, kind: str) -> dict[str, int]:
    number = next(each for each in range(1000) if kind_of(each) is Kind.UNPROTECTED)
    with TemporaryDirectory() as room, Stub(Account(1000)) as stub:
        command = [str(python), str(PARTS / "custodian_event.py"), kind, name_of(number), room]
        finished(command, stub.environment() | {"HOME": room})
        counts = stub.counts()
    by_service: Counter[str] = Counter()
    for operation, count in counts.items():
        by_service[operation.partition(":")[0]] += count
    return _by_service(by_service)


def _warm(record: Recorded) -> dict[str, float]:
    with TemporaryDirectory() as room, Stub(Replies(record.answers)) as stub:
        floor = Path(room)
        shutil.copy(PARTS / "floor.py", floor / "floor.py")
        (floor / "calls.json").write_text(json.dumps(record.calls))
        event = floor / "event.json"
        event.write_text(json.dumps(recorded.event_of(record.function)))
        told = record.environment | {"AWS_ENDPOINT_URL": stub.endpoint, "HOME": room}
        variants = {"floor": ("floor.handler", floor), "ours": (record.handler, BUILD / record.function)}
        taken: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(3):
            for name, (handler, folder) in variants.items():
                words = ["-P", str(PARTS / "warm.py"), handler, str(event), str(TIMES)]
                done = finished([str(clean.python()), *words], told | {"PYTHONPATH": str(folder)})
                taken[name].append(float(done.stderr.split()[-1]))
    best = {name: round(min(each), 2) for name, each in taken.items()}
    return best | {"own": round(best["ours"] - best["floor"], 2)}


def show(found: Mapping[str, Any]) -> list[Table]:
    """Requests, and CPU."""
    asked = [(name, *counts.values()) for name, counts in found["requests"].items()]
    asked += [
        (f"{name}: the alert's case", *(counts or dict.fromkeys(SERVICES)).values())
        for name, counts in found["peers"].items()
    ]
    warm = [(name, each["floor"], each["ours"], each["own"]) for name, each in found["warm"].items()]
    return [
        table("Requests for one event, cold", ("", *SERVICES.values()), asked),
        table("CPU ms per event, warm: best of 3 runs", ("", "floor", "ours", "our own"), warm),
    ]
