"""All enrolled buckets: `guardrail status` beside its floor and its peers, and the deployed sweep of 10,000."""

import json
import os
import re
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table

from bench.account import TAG, Account, Kind, census
from bench.recorded import PARTS
from bench.setup import python_of
from bench.show import ratio, table
from bench.stub import ACCOUNT, REGION, Finished, Stub, finished
from local import clean
from local.cloud import ROOM
from local.runtime import BUILD

MORE_WITH_ALL = "the peers at every size"
SIZES = {200: 5, 2000: 3, 10_000: 1}
"""Numbers of buckets, and how often each is measured."""
DELAY_S = 0.02
DEPLOYED = 10_000
THROTTLED, SLOW_DOWN_ABOVE = 1000, 100
"""Buckets of the throttled run, and requests a second to S3 that are answered in it."""
POLICY: dict[str, Any] = {
    "name": "mfa-delete",
    "resource": "aws.s3",
    "filters": [
        {f"tag:{TAG[0]}": TAG[1]},
        {"type": "value", "key": "Versioning.MFADelete", "op": "ne", "value": "Enabled"},
    ],
}
SETTINGS = {
    **{"TABLE_NAME": "guardrail", "DEAD_LETTER_URL": "https://sqs.example.com/dead", "ACCOUNT_ID": ACCOUNT},
    **{"ALERT_TOPIC_ARN": f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts", "WATCH_VERSION_DELETES": "yes"},
    **{"PROTECT_TAG_KEY": TAG[0], "PROTECT_TAG_VALUE": TAG[1], "PARTITION": "aws", "SCRIPT_SHA256": "0" * 64},
    **{"STACK_NAME": "guardrail"},
    **{"EXEMPTION_MAX_DAYS": "90", "GROUP_WINDOW_MINUTES": "60", "GROUP_THRESHOLD": "10", "HISTORY_DAYS": "400"},
    **{"ROOT_KEY_GRACE_MINUTES": "60", "SWEEP_RATE": "rate(1 hour)", "VERSION": "0"},
    **{"PAGE_FROM": "high", "SECURITY_HUB": "no"},
    **{"POWERTOOLS_METRICS_NAMESPACE": "Bench", "POWERTOOLS_SERVICE_NAME": "bench"},
}

type Row = dict[str, Any]
type Tool = Callable[[dict[str, str], Path], tuple[Finished, str]]
"""Runs in this environment and folder; says what it made of the buckets."""


def measure() -> dict[str, Any]:
    """By size: wall, requests, peak memory, and what each made of the buckets that refuse the read."""
    with_peers = SIZES if "BENCH_ALL" in os.environ else (min(SIZES),)
    deployed = _deployed()
    asked = {str(size): _compared(size, runs, peers=size in with_peers) for size, runs in SIZES.items()}
    return {"delay_ms": 1000 * DELAY_S, "status": asked, "deployed": deployed}


def _compared(size: int, runs: int, *, peers: bool) -> dict[str, Row]:
    """All of them in turn, Prowler once; medians."""
    tools: dict[str, Tool | None] = {"floor": _floor, "guardrail status": _ours}
    if peers:
        tools |= _peers()
    taken: dict[str, list[Row]] = {name: [] for name in tools}
    for number in range(runs):
        for name, tool in tools.items():
            if number == 0 or not name.startswith("Prowler"):
                taken[name].append(_once(tool, size))
    return {name: _median(rows) for name, rows in taken.items()}


def _median(rows: list[Row]) -> Row:
    walls = [row["wall_s"] for row in rows if "wall_s" in row]
    return rows[-1] | ({"wall_s": round(statistics.median(walls), 2), "runs": len(walls)} if walls else {})


def _once(tool: Tool | None, size: int) -> Row:
    if tool is None:
        return {"said": "not installed: make bench-setup"}
    with TemporaryDirectory() as room, Stub(Account(size), delay_s=DELAY_S) as stub:
        done, said = tool(stub.environment() | {"HOME": room}, Path(room))
        requests = sum(stub.counts().values())
    return {
        "wall_s": round(done.wall_s, 2), "requests": requests, "cpu_s": round(done.cpu_s, 2),
        "peak_mib": round(done.peak_mib), "said": said,
    }  # fmt: skip


# The tools


def _floor(environment: dict[str, str], _room: Path) -> tuple[Finished, str]:
    done = finished([sys.executable, str(PARTS / "floor_sweep.py")], environment)
    return done, done.stdout.strip()


def _ours(environment: dict[str, str], _room: Path) -> tuple[Finished, str]:
    command = [str(ROOM / ".venv" / "bin" / "guardrail"), "--region", REGION, "status", "--json"]
    done = finished(command, environment, fine=(0, 1, 3))
    population = json.loads(done.stdout)["population"]
    return done, f"{population['unprotected']} unprotected, {population['unverifiable']} unverifiable"


def _loop(environment: dict[str, str], _room: Path) -> tuple[Finished, str]:
    done = finished([sys.executable, str(PARTS / "loop.py")], environment)
    return done, f"{done.stdout.strip()} missing"


def _custodian(python: Path, query: list[dict[str, str]]) -> Tool:
    def run(environment: dict[str, str], room: Path) -> tuple[Finished, str]:
        policy = room / "policy.json"
        policy.write_text(json.dumps({"policies": [POLICY | ({"query": query} if query else {})]}))
        command = [str(python), "-m", "c7n.cli", "run", "--region", REGION, "-s", str(room / "out"), str(policy)]
        done = finished(command, environment)
        found = json.loads((room / "out" / POLICY["name"] / "resources.json").read_text())
        return done, f"{len(found)} missing"

    return run


def _prowler(python: Path, *words: str) -> Tool:
    def run(environment: dict[str, str], room: Path) -> tuple[Finished, str]:
        command = [str(python), "-m", "prowler", "aws", "--checks", "s3_bucket_no_mfa_delete", "--region", REGION]
        command += ["--output-directory", str(room), "--output-formats", "csv", "--no-banner", *words]
        done = finished(command, environment, fine=(0, 3))
        failed = re.search(r"FAIL \((\d+)\)", done.stdout)
        return done, f"{failed[1] if failed else 0} missing"

    return run


def _peers() -> dict[str, Tool | None]:
    custodian, prowler = python_of("custodian"), python_of("prowler")
    tag = ("--resource-tags", f"{TAG[0]}={TAG[1]}")
    return {
        "boto3 loop": _loop,
        "Cloud Custodian": _custodian(custodian, []) if custodian else None,
        "Cloud Custodian, detect": _custodian(custodian, [{"augment-keys": "detect"}]) if custodian else None,
        "Prowler": _prowler(prowler) if prowler else None,
        "Prowler, by tag": _prowler(prowler, *tag) if prowler else None,
    }


# The deployed function


def _deployed() -> dict[str, Row]:
    """All buckets enrolled: the first sweep, which writes each, an ordinary one, and one while S3 says SlowDown."""
    account = Account(DEPLOYED, everything=True)
    with Stub(account, delay_s=DELAY_S) as stub:
        rows = {"first sweep": _swept(stub), "a sweep that finds no change": _swept(stub)}
    slow = Account(THROTTLED, everything=True, slow_down_above=SLOW_DOWN_ABOVE)
    with Stub(slow, delay_s=DELAY_S) as stub:
        rows[f"{THROTTLED} buckets, SlowDown above {SLOW_DOWN_ABOVE}/s"] = _swept(stub)
    return rows


def _swept(stub: Stub) -> Row:
    told = stub.environment() | SETTINGS | {"PYTHONPATH": str(BUILD / "SweepFunction"), "HOME": os.devnull}
    done = finished([str(clean.python()), "-P", str(PARTS / "sweep_run.py")], told)
    counts = stub.counts()
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row | {
        "peak_mib": round(done.peak_mib),
        "requests": sum(counts.values()),
        "written": counts["dynamodb:TransactWriteItems"],
    }


def show(found: Mapping[str, Any]) -> list[Table]:
    """A table for each size, and one of the deployed sweep."""
    tables = []
    for size, rows in found["status"].items():
        kinds = census(int(size))
        truth = f"{kinds[Kind.UNPROTECTED]} unprotected, {kinds[Kind.REFUSING]} refuse the read"
        floor = rows["floor"]["wall_s"]
        shown = [
            (name, row.get("requests"), row.get("wall_s"), _by(row, floor), row.get("peak_mib"), row["said"])
            for name, row in rows.items()
        ]
        header = ("", "requests", "wall s", "by the floor", "peak MiB", f"said (true: {truth})")
        tables.append(table(f"{size} buckets, {found['delay_ms']:g} ms a request", header, shown))
    columns = ("requests", "wall_s", "cpu_s", "peak_mib", "written", "sent", "errors")
    rows = [(name, *(row[column] for column in columns)) for name, row in found["deployed"].items()]
    return [*tables, table(f"The deployed sweep, {DEPLOYED} buckets, all enrolled", ("", *columns), rows)]


def _by(row: Row, floor: float) -> float | None:
    return ratio(row["wall_s"], floor) if "wall_s" in row else None
