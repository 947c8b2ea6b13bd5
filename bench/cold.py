"""Cold start of each function beside a floor that makes the same clients and calls, under the real Lambda runtime."""

import json
import shutil
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table

from bench import recorded
from bench.recorded import PARTS, SAMPLES, Recorded, Replies
from bench.show import ratio, table
from bench.stub import Stub
from local import clean
from local.runtime import BUILD, BuiltFunction

RUNS = 15


def measure(runs: int = RUNS, functions: tuple[str, ...] = tuple(SAMPLES)) -> dict[str, Any]:
    """Milliseconds, wall and CPU, from the start of init to the first answer: medians of alternating runs, ratios."""
    with recorded.deployed() as (cloud, outputs):
        records = [recorded.record(cloud, outputs, function) for function in functions]
    return {"runs": runs, "functions": {each.function: _compared(each, runs) for each in records}}


def _compared(record: Recorded, runs: int) -> dict[str, Any]:
    with TemporaryDirectory() as room, Stub(Replies(record.answers)) as stub:
        floor = Path(room) / "floor"
        floor.mkdir()
        shutil.copy(PARTS / "floor.py", floor / "floor.py")
        (floor / "calls.json").write_text(json.dumps(record.calls))
        told = record.environment | {"AWS_ENDPOINT_URL": stub.endpoint}
        told = {name: value for name, value in told.items() if name not in {"PYTHONPATH", "LAMBDA_TASK_ROOT", "HOME"}}
        variants = {"floor": (floor, "floor.handler"), "ours": (BUILD / record.function, record.handler)}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
        asked: dict[str, int] = {}
        for number in range(runs + 1):
            for name, (folder, handler) in variants.items():
                stub.counts()
                taken = _once(handler, folder, told, recorded.event_of(record.function))
                asked[name] = sum(stub.counts().values())
                times[name] += [taken] * bool(number)  # the first of each warms the page cache
    return _summed(times) | {"requests": asked}


def _summed(times: Mapping[str, list[tuple[float, float]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for index, kind in enumerate(("wall", "cpu")):
        medians = {name: statistics.median(each[index] for each in taken) for name, taken in times.items()}
        found[f"{kind}_ms"] = {name: round(1000 * median, 1) for name, median in medians.items()}
        found[f"{kind}_ratio"] = ratio(medians["ours"], medians["floor"])
    return found


def _once(handler: str, folder: Path, told: Mapping[str, str], event: Any) -> tuple[float, float]:
    with BuiltFunction(handler, folder, told, clean.python()) as function:
        began = time.perf_counter()
        function.invoke(event)
        return time.perf_counter() - began, function.cpu_s()


def show(found: Mapping[str, Any]) -> list[Table]:
    """One table: a row for each function."""
    rows = [
        (
            name, each["requests"]["ours"], each["wall_ms"]["floor"], each["wall_ms"]["ours"], each["wall_ratio"],
            each["cpu_ms"]["floor"], each["cpu_ms"]["ours"], each["cpu_ratio"],
        )
        for name, each in found["functions"].items()
    ]  # fmt: skip
    header = ("", "requests", "floor ms", "ours ms", "ratio", "floor CPU ms", "ours CPU ms", "ratio")
    return [table(f"Init and first event, medians of {found['runs']} runs each", header, rows)]
