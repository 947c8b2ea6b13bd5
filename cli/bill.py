"""What the stack costs a month: what it does how often, times list prices.

How many alarms, keys and schedules there are is in billed.json, which `make docs` makes from template.yaml; prices are
in prices.toml, with date and source. How long a run takes and what it writes are assumptions, and stand below.
"""

import json
import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HOURS = 730
"""A month, as AWS reckons."""
ALARM, DASHBOARD, KEY = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::KMS::Key"
BY_PIECE = {ALARM: "alarm", DASHBOARD: "dashboard", KEY: "key"}
"""What is paid for because it is there."""
FREE_DASHBOARDS = 3  # in an account (aws.amazon.com/cloudwatch/pricing)
PER_SWEEP, PER_LOOK, PER_DRILL = {"SweepDone", "SweepDuration"}, {"HealthLooked"}, {"DrillLag"}
VERDICTS, PER_EVENT = 2, 3
"""A sweep brings a metric for each verdict that some bucket has, an event about three of those that are left."""
METRICS = (
    PER_SWEEP
    | PER_LOOK
    | PER_DRILL
    | {
        *("FindingOpened", "BucketUnverifiable", "AlertPublished", "AlertOwed"),
        *("EventDuplicate", "EventIgnored", "EventRejected", "DetectionLag", "AlertLag", "FindingResolved"),
    }
)

# Assumptions, on the high side; none was measured on AWS.
RUN_S = {"SweepSchedule": 3.0, "OwedSchedule": 0.2, "HealthSchedule": 4.0, "DrillSchedule": 1.0}
EVENT_S = 0.8
BUCKET_S = 0.004
"""What each enrolled bucket adds to a sweep."""
BUCKET_KB = 1
"""What the table knows of a bucket; a sweep and a look at the guardrail itself read all of it, 4 KB a unit."""
CHANGES = 2
"""Events on the bus for each alert: some changes are told to nobody."""
LOG_KB = 1.5
"""What a run writes into its log."""
ITEMS, IDS = 4, 2
"""What is written for a finding, and for a version delete; a transaction costs two units an item."""
EMPTY_POLLS = 5 * 3 * 60
"""Lambda's pollers ask an empty queue so often an hour: five, every 20 seconds."""
PACKED_KB = 0.15
"""A record in a log file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """USD for so many units, where it was read, and whether AWS itself says so: `aws`, `others`, or `no` (nowhere)."""

    usd: float
    per: int
    unit: str
    seen: str
    source: str

    def of(self, count: float) -> float:
        """USD for this many."""
        return count / self.per * self.usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A month. `deletes` are objects deleted where a trail logs it, each key of a batch counting; `changes`, of the
    settings of any bucket of the account in this Region. The rest is named as the template's parameters are.
    """

    deletes: int
    buckets: int
    version_deletes: int = 0
    changes: int = 500
    alerts: int = 20
    emails: int = 1
    urls: int = 0
    sweep_rate: str = "rate(1 hour)"
    trail: str = "none"
    watches_deletes: bool = True
    drill: bool = False

    @property
    def conditions(self) -> set[str]:
        """The template's conditions that hold, of those that decide what is billed."""
        holding = {"": True, "WatchesDeletes": self.watches_deletes, "HasDrill": self.drill}
        return {name for name, holds in holding.items() if holds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the bill. `is_sure`: False for what may be charged or not; it is not in the sum."""

    service: str
    what: str
    count: float
    price: Price
    is_sure: bool = True

    @property
    def usd(self) -> float:
        """For the month."""
        return self.price.of(self.count)


@cache
def prices() -> dict[str, Any]:
    """The file of prices: `region`, `date` and `price`."""
    return tomllib.loads(Path(__file__).with_name("prices.toml").read_text(encoding="utf-8"))


@cache
def price(name: str) -> Price:
    """A price by its name."""
    return Price(**prices()["price"][name])


def of_deletes(count: int) -> float:
    """USD for logging so many deletes."""
    return price("data-event").of(count)


@cache
def billed() -> dict[str, Any]:
    """What template.yaml deploys of what costs money."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("billed.json").read_text(encoding="utf-8"))
    return found


def lines(usage: Usage) -> tuple[Line, ...]:
    """The bill, dearest first; what costs nothing is left out."""
    everything = (*_logged(usage), *_pieces(usage), *_runs(usage), *_table(usage), *_told(usage), *_metrics(usage))
    made = (
        Line(service=service, what=what, count=count, price=price(name), is_sure=name != "bus-data-event")
        for service, what, count, name in everything
        if count
    )
    return tuple(sorted(made, key=lambda line: (not line.is_sure, -line.usd)))


def total(bill: tuple[Line, ...], *, sure: bool = True) -> float:
    """What is surely paid; or what may come on top."""
    return sum(line.usd for line in bill if line.is_sure is sure)


type _Row = tuple[str, str, float, str]
"""Service, what for, how many, and the price's name."""


def pieces(usage: Usage, kind: str) -> int:
    """How many of this type are deployed."""
    counts = billed()["pieces"].get(kind, {})
    return sum(count for condition, count in counts.items() if condition in usage.conditions)


def runs(usage: Usage) -> dict[str, float]:
    """How often a month each schedule starts its function."""
    return {
        name: HOURS / _hours(usage.sweep_rate if each["rate"] == "SweepRate" else each["rate"])
        for name, each in billed()["schedules"].items()
        if each["condition"] in usage.conditions
    }


def _hours(rate: str) -> float:
    number, unit = rate.removeprefix("rate(").removesuffix(")").split()
    return float(number) * {"minute": 1 / 60, "hour": 1, "day": 24}[unit.removesuffix("s")]


def _logged(usage: Usage) -> Iterator[_Row]:
    """What a trail of anybody's must log for version deletes to be seen; and the log of the stack's own."""
    deletes = usage.deletes if usage.watches_deletes or usage.trail != "none" else 0
    yield "CloudTrail", "deletes logged (data events)", deletes, "data-event"
    yield "EventBridge", "the same on the bus, if AWS charges them", deletes, "bus-data-event"
    if usage.trail != "none":
        yield "S3", "the trail's log, kept a month", deletes * PACKED_KB / 1e6, "storage-gb"
        yield "S3", "the trail's log files", HOURS * 12, "bucket-write"


def _pieces(usage: Usage) -> Iterator[_Row]:
    yield "CloudWatch", "alarms", pieces(usage, ALARM), "alarm"
    yield "CloudWatch", "dashboards beyond three", max(0, pieces(usage, DASHBOARD) - FREE_DASHBOARDS), "dashboard"
    yield "KMS", "the key, in its first year", pieces(usage, KEY), "key"


def _batches(usage: Usage) -> int:
    return usage.version_deletes if usage.watches_deletes else 0


def _runs(usage: Usage) -> Iterator[_Row]:
    started, events = runs(usage), usage.changes + _batches(usage)
    taken_s = {name: count * RUN_S[name] for name, count in started.items()}
    taken_s["SweepSchedule"] += started["SweepSchedule"] * usage.buckets * BUCKET_S
    used_mb_s = sum(seconds * billed()["schedules"][name]["memory_mb"] for name, seconds in taken_s.items())
    used_mb_s += events * EVENT_S * billed()["memory_mb"]
    ran = sum(started.values()) + events
    yield "EventBridge Scheduler", "schedules", sum(started.values()), "schedule"
    yield "Lambda", "runs", ran, "lambda-request"
    yield "Lambda", "compute", used_mb_s / 1024, "lambda-gb-second"
    yield "CloudWatch", "logs", ran * LOG_KB / 1e6, "log-gb"
    read = started["SweepSchedule"] * usage.buckets + 2 * events
    yield "S3", "buckets read by sweeps and for events", read, "bucket-read"
    if usage.watches_deletes:
        yield "SQS", "the queue of deletes, polled while empty", EMPTY_POLLS * HOURS, "queue-request"
        yield "SQS", "version deletes", 3 * usage.version_deletes, "queue-request"


def _table(usage: Usage) -> Iterator[_Row]:
    started = runs(usage)
    whole = math.ceil(max(1, usage.buckets) * BUCKET_KB / 4)
    reads = (started["SweepSchedule"] + started["HealthSchedule"]) * whole + started["OwedSchedule"] + usage.changes
    writes = started["HealthSchedule"] + 2 * ITEMS * usage.alerts + 2 * IDS * _batches(usage)
    yield "DynamoDB", "reads", reads + _batches(usage), "table-read"
    yield "DynamoDB", "writes", writes, "table-write"


def _told(usage: Usage) -> Iterator[_Row]:
    yield "SNS", "alerts published", usage.alerts, "publish"
    yield "SNS", "alerts by e-mail", usage.alerts * usage.emails, "email"
    yield "SNS", "alerts by HTTPS", usage.alerts * usage.urls, "https"
    yield "EventBridge", "changes of findings on the stack's bus", CHANGES * usage.alerts, "bus-event"
    yield "KMS", "the key used or looked at", runs(usage)["HealthSchedule"] + 2 * usage.alerts, "key-request"


def _metrics(usage: Usage) -> Iterator[_Row]:
    """A metric is paid for in each hour in which something is sent to it."""
    started = runs(usage)
    brought = {"SweepSchedule": len(PER_SWEEP) + VERDICTS, "HealthSchedule": len(PER_LOOK), "DrillSchedule": 1}
    hours = sum(count * min(HOURS, started.get(name, 0)) for name, count in brought.items())
    hours += PER_EVENT * min(HOURS, usage.changes + _batches(usage))
    yield "CloudWatch", "metrics", hours / HOURS, "metric"
