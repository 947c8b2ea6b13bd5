"""`python -m bench.replay [MB]`: how fast `guardrail replay` reads logs, beside gzip, jq and a plain json.loads loop.

The logs are made up (bench/trail_logs.py says how); one record in 1,000 matters, and all find the same ones. A quarter
of them is made, the rest are copies. Each command reads the same files by itself, three times (jq once); the quickest
run counts, start included. Prints a table and one JSON line: CPU seconds of user and system, seconds of wall clock, MB
unpacked a second of CPU, and that as a ratio to `gzip -dc`. On a machine that does other things as well, trust the
CPU seconds. It does not show S3's latency: the files are local.
"""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table

from bench.show import table
from bench.trail_logs import write_logs
from shared.facts import BUCKET_CALLS

RUNS = 3
RESUME = "resume"
MEGABYTES, COPIES = 1000, 4
FLOOR, PIPE = "gzip -dc", "gzip -dc | jq"
JQ = (
    '.Records[] | select(.eventSource == "s3.amazonaws.com") | select((.eventName | IN('
    + ", ".join(f'"{name}"' for name in sorted(BUCKET_CALLS))
    + ')) or (.eventName == "DeleteObject" and .requestParameters.versionId != null)'
    + ' or (.eventName == "DeleteObjects" and .errorCode != null)) | .eventID'
)
LOOP = f"""
import gzip, json, sys
names, found = {set(BUCKET_CALLS)!r}, 0
for path in sys.argv[1:]:
    with gzip.open(path) as log:
        for record in json.loads(log.read())["Records"]:
            if record["eventSource"] != "s3.amazonaws.com":
                continue
            name, asked = record["eventName"], record["requestParameters"] or {{}}
            found += name in names or (name == "DeleteObject" and "versionId" in asked)
            found += name == "DeleteObjects" and "errorCode" in record
print(found)
"""


def _run(command: Sequence[str], home: Path) -> dict[str, Any]:
    """CPU seconds and wall seconds of a command and its children; what it says is in the file `out`."""
    (home / RESUME).unlink(missing_ok=True)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (home / "out").open("wb") as out:
        ended = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, check=False)
    wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        raise SystemExit(f"{command[0]}: {ended.stderr.decode(errors='replace')[-500:]}")
    return {"cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "wall_s": wall_s}


def _ours(folder: Path, state: Path, workers: int) -> list[str]:
    command = str(Path(sys.executable).with_name("guardrail"))
    words = ["replay", "--offline", "--state", str(state), "--workers", str(workers)]
    return [command, *words, "--resume", str(state.with_name(RESUME)), str(folder)]


def _commands(home: Path, files: list[str]) -> dict[str, list[str]]:
    state = home / "state.json"
    state.write_text('{"buckets": {}}')
    commands = {
        FLOOR: ["gzip", "-dc", *files],
        "guardrail replay, 1 process": _ours(home / "logs", state, 1),
        "guardrail replay, 2 processes": _ours(home / "logs", state, 2),
        "json.loads loop": [sys.executable, "-c", LOOP, *files],
    }
    if shutil.which("jq"):
        commands[PIPE] = ["sh", "-c", 'filter=$1; shift; gzip -dc "$@" | jq -r "$filter"', "sh", JQ, *files]
    return commands


def measure(megabytes: int = MEGABYTES) -> dict[str, Any]:
    """Make the logs and run all; the quickest of three runs of each."""
    with TemporaryDirectory() as name:
        home = Path(name)
        records, size = write_logs(home / "logs" / "0", megabytes // COPIES)
        for number in range(1, COPIES):
            shutil.copytree(home / "logs" / "0", home / "logs" / str(number))
        records, size = records * COPIES, size * COPIES
        files = sorted(map(str, (home / "logs").rglob("*.gz")))
        results: dict[str, Any] = {}
        for what, command in _commands(home, files).items():
            runs = [_run(command, home) for _ in range(1 if what == PIPE else RUNS)]
            results[what] = min(runs, key=lambda run: run["cpu_s"])
            results[what]["found"] = None if what == FLOOR else _found(home)
        packed = sum(map(os.path.getsize, files))
    for result in results.values():
        result["mb_per_cpu_s"] = size / 1e6 / result["cpu_s"]
        result["ratio"] = result["mb_per_cpu_s"] / (size / 1e6 / results[FLOOR]["cpu_s"])
    if len({result["found"] for result in results.values()} - {None}) != 1:
        raise SystemExit(f"they did not find the same: {results}")
    facts = {"records": records, "mb": round(size / 1e6), "packed_mb": round(packed / 1e6), "files": len(files)}
    return facts | {"results": results}


def _found(home: Path) -> int:
    """How many records it found that matter."""
    if (home / RESUME).exists():
        return int(sqlite3.connect(home / RESUME).execute("SELECT count(*) FROM event").fetchone()[0])
    lines = (home / "out").read_text().splitlines()
    return int(lines[0]) if lines[0].isdigit() else len(lines)


def show(found: dict[str, Any]) -> list[Table]:
    """One table."""
    title = f"guardrail replay: {found['records']:,} records, {found['mb']} MB in {found['files']} files"
    rows = [
        (
            what,
            *(round(each[key], 2) for key in ("cpu_s", "wall_s")),
            round(each["mb_per_cpu_s"]),
            round(each["ratio"], 2),
        )
        for what, each in found["results"].items()
    ]
    missing = [] if PIPE in found["results"] else [(f"{PIPE}: not installed", None, None, None, None)]
    return [table(title, ("", "CPU s", "wall s", "MB per CPU s", f"ratio to {FLOOR}"), [*rows, *missing])]
