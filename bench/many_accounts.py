"""Events, turns and dollars of a hub, on paper: `python -m bench.many_accounts` prints docs/many-accounts.md's table.

Nothing is measured here: it is arithmetic on the assumptions below. Prices: AWS's list, us-east-1, without free tiers;
those of EventBridge and DynamoDB from its pages or quoted from them, the others from memory.
"""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from bench.show import table

ACCOUNTS, REGIONS = 1_000, 17
SPOKES = ACCOUNTS * REGIONS
DAYS, SWEEPS = 30, 24
ENROLLED = 10 * ACCOUNTS
CHANGES = 2_000 * ACCOUNTS
"""Changes of bucket settings a month, of whatever bucket."""
DELETES = 3_000 * ACCOUNTS
"""Version deletes a month, done or refused, where a trail logs them."""
TURN_S, HELLO_S, EVENT_S = 0.4, 0.01, 0.3
SWEEP_GB, MEMORY_GB = 1.0, 0.5
WORKERS = 20
"""MaximumConcurrency of the spoke queue's mapping."""

PER_MILLION = {"forwarded event": 1.00, "SQS request": 0.40, "Lambda request": 0.20, "S3 read": 0.40}
READ, WRITE, GB_S = 0.125e-6, 0.625e-6, 0.0000133334


def _cost(count: float, of: str) -> float:
    return count * PER_MILLION[of] / 1e6


def rows() -> Iterator[tuple[str, float, float]]:
    """What, how many a day, dollars a month."""
    hellos = turns = SPOKES * SWEEPS * DAYS
    events = hellos + CHANGES + DELETES
    batches = (hellos + turns) / 10
    # a hello is sent by EventBridge, a turn by ten; both are taken and deleted by ten; each turn asks a spoke's queue
    requests = hellos + turns / 10 + 2 * batches + turns
    gb_s = (turns * TURN_S + hellos * HELLO_S) * SWEEP_GB + (CHANGES + DELETES) * EVENT_S * MEMORY_GB
    runs = batches + CHANGES + DELETES / 10
    yield "hellos forwarded", hellos / DAYS, _cost(hellos, "forwarded event")
    yield "events of buckets forwarded", (events - hellos) / DAYS, _cost(events - hellos, "forwarded event")
    yield "SQS requests", requests / DAYS, _cost(requests, "SQS request")
    yield "Lambda runs", runs / DAYS, _cost(runs, "Lambda request") + gb_s * GB_S
    yield "S3 reads of the sweep", ENROLLED * SWEEPS, _cost(ENROLLED * SWEEPS * DAYS, "S3 read")
    yield "DynamoDB reads", (turns + events - hellos) / DAYS, (turns + events - hellos) * READ
    yield "DynamoDB writes", (hellos + 0.1 * CHANGES) / DAYS, (hellos + 0.1 * CHANGES) * WRITE


def markdown() -> str:
    """The table, in Markdown."""
    lines = [f"| {what} | {count:,.0f} | {dollars:,.2f} |" for what, count, dollars in rows()]
    total = sum(dollars for _, _, dollars in rows())
    head = ["| what | a day | $ a month |", "| --- | ---: | ---: |"]
    return "\n".join([*head, *lines, f"| **all** | | **{total:,.2f}** |"])


def sweep_minutes() -> float:
    """How long the turns of one sweep take."""
    return SPOKES * TURN_S / WORKERS / 60


def measure() -> dict[str, Any]:
    """Nothing is: the figures, on paper."""
    figures = {what: {"a_day": round(count), "usd_a_month": round(dollars, 2)} for what, count, dollars in rows()}
    return {"on_paper": figures, "sweep_minutes": round(sweep_minutes(), 1)}


def show(found: dict[str, Any]) -> list[Table]:
    """One table."""
    title = f"{ACCOUNTS:,} accounts x {REGIONS} Regions, on paper; turns of a sweep: {found['sweep_minutes']} minutes"
    lines = [(what, each["a_day"], each["usd_a_month"]) for what, each in found["on_paper"].items()]
    return [table(title, ("", "a day", "$ a month"), lines)]


if __name__ == "__main__":
    print(markdown())
