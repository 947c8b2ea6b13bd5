"""`make faults`: 2,000 events while a fifth of all calls to AWS fails, and floods; prints a table, 0 if all is right.

On moto, in one process; the storm and its model stand in tests/functional/storm.py. Figures say nothing of speed.
"""

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from rich.console import Console
from rich.table import Table

from handlers import bucket_change, sweep, version_delete
from tests.functional.conftest import Stage, staged
from tests.functional.events import batch, event
from tests.functional.storm import lived
from tests.functional.test_handlers import TICK, disabled

EVENTS, SEEDS = 2000, (1, 2)
BUCKETS = 400
REFUSED = 5000
QUEUE_BATCH = 1000
OWED = {"sweep": "owed"}


def storm(seed: int) -> Callable[[Stage], dict[str, int]]:
    """Events, faults, redrive, and the model's verdict."""
    return lambda stage: lived(stage, EVENTS, seed)


def first_deploy(stage: Stage) -> dict[str, int]:
    """Many tagged, unprotected buckets meet the first sweep."""
    names = [stage.bucket(f"vault-{number:03}") for number in range(BUCKETS)]
    stage.invoke(sweep.handler, TICK)
    return _counted(stage, names) | {"wrong_limit": int(len(stage.kept) > 6)}


def root_turns_all_off(stage: Stage) -> dict[str, int]:
    """Root turns MFA delete off on all of them within five minutes."""
    names = [stage.bucket(f"vault-{number:03}", mfa_delete="Enabled") for number in range(BUCKETS)]
    stage.invoke(sweep.handler, TICK)
    stage.keep()
    stage.kept.clear()
    first = stage.invoke(bucket_change.handler, disabled(stage, names[0], event_id="off-0", at=stage.now))
    for number, name in enumerate(names[1:], 1):
        stage.later(seconds=300 / BUCKETS)
        stage.invoke(bucket_change.handler, disabled(stage, name, event_id=f"off-{number}", at=stage.now))
        if number == BUCKETS // 2:
            stage.invoke(sweep.handler, OWED)
    for _ in range(4):
        stage.later(minutes=5)
        stage.invoke(sweep.handler, OWED)
    late = int(first["sent"] != 1)
    return _counted(stage, names) | {"wrong_first_not_at_once": late, "wrong_limit": int(len(stage.kept) > 10)}


def refused_deletes(stage: Stage) -> dict[str, int]:
    """One user is refused thousands of version deletes within minutes."""
    name = stage.bucket("vault", mfa_delete="Enabled")
    stage.invoke(sweep.handler, TICK)
    runs = 0
    for start in range(0, REFUSED, QUEUE_BATCH):
        events = [
            event("delete-object.version-denied", name, event_id=f"denied-{number}", at=stage.now)
            for number in range(start, start + QUEUE_BATCH)
        ]
        stage.invoke(version_delete.handler, batch(*events))
        runs += 1
        stage.later(seconds=20)
    stage.later(hours=1)
    stage.invoke(sweep.handler, TICK)
    counted = _counted(stage, [name])
    memories = stage.guard.store.recall_all(stage.guard.settings.account_id, "us-east-1", now=stage.now)
    [finding] = [f for memory in memories.values() for f in memory.findings if f.control == "version-delete-denied"]
    limits = {"wrong_limit": int(counted["messages"] > 3), "wrong_counts": int(finding.count != REFUSED)}
    return {"events": REFUSED, "invocations": runs} | counted | limits


def _alone(run: Callable[[Stage], dict[str, int]]) -> dict[str, int]:
    """On an AWS of its own; what the functions print of metrics is not for the table."""
    quiet = contextlib.redirect_stdout(io.StringIO())
    with TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch, quiet, staged(patch, Path(home)) as stage:
        return run(stage)


def _counted(stage: Stage, names: list[str]) -> dict[str, int]:
    stage.keep()
    told = " ".join(message["Subject"] + message["Message"] for message in stage.kept)
    return {
        "messages": len(stage.kept),
        "still_owed": len(stage.guard.store.owed()),
        "lost_names": sum(name not in told for name in names),
    }


RUNS: dict[str, Callable[[Stage], dict[str, int]]] = {
    **{f"storm, seed {seed}": storm(seed) for seed in SEEDS},
    f"first sweep, {BUCKETS} buckets": first_deploy,
    f"root turns off {BUCKETS}": root_turns_all_off,
    f"{REFUSED} refused deletes": refused_deletes,
}


def _failures(report: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in report.items() if name.startswith(("lost", "wrong", "still")) and count}


def main() -> int:
    """Run all, print the table and one JSON line."""
    console, reports = Console(width=140), dict[str, dict[str, int]]()
    for name, run in RUNS.items():
        began = time.monotonic()
        reports[name] = _alone(run)
        console.print(f"{name}: {time.monotonic() - began:.0f} s")
    rows = list(dict.fromkeys(row for report in reports.values() for row in report))
    table = Table("", *reports, box=None)
    for row in rows:
        table.add_row(row, *(str(report.get(row, "")) for report in reports.values()))
    console.print(table)
    failed = {name: counts for name, report in reports.items() if (counts := _failures(report))}
    console.print(json.dumps({"faults": reports, "failed": failed}), soft_wrap=True, highlight=False)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
