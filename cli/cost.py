"""`guardrail cost`: the bill, before anything is deployed. Asks nothing of AWS."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from cli import bill
from cli.bill import Line, Usage

RATES = ("rate(15 minutes)", "rate(1 hour)", "rate(6 hours)", "rate(24 hours)")
TRAILS = ("none", "deletes", "all")
MARKS = {"aws": "", "others": "*", "no": "unverified"}
LEFT_OUT = 0.9
"""The share of all deletes that the advice supposes a bulk-delete role to make."""
_A_COUNT = click.IntRange(0)


@click.command()
@click.option("--deletes-per-month", "deletes", type=_A_COUNT, required=True, help="Where a trail logs them, by key.")
@click.option("--buckets", type=_A_COUNT, required=True, help="Enrolled ones.")
@click.option("--version-deletes", type=_A_COUNT, default=0, show_default=True, help="Deletes that name a version.")
@click.option("--changes", type=_A_COUNT, default=500, show_default=True, help="Of the settings of any bucket.")
@click.option("--alerts", type=_A_COUNT, default=20, show_default=True, help="Alerts a month.")
@click.option("--emails", type=_A_COUNT, default=1, show_default=True, help="E-mail addresses that get them.")
@click.option("--urls", type=_A_COUNT, default=0, show_default=True, help="HTTPS addresses that get them.")
@click.option("--sweep-rate", type=click.Choice(RATES), default=RATES[1], show_default=True, help="SweepRate.")
@click.option("--trail", type=click.Choice(TRAILS), default="none", show_default=True, help="Trail.")
@click.option("--watch-version-deletes/--no-watch-version-deletes", "watches_deletes", default=True, show_default=True)
@click.option("--drill/--no-drill", default=False, show_default=True, help="Drill.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def cost(as_json: bool, **counts: Any) -> None:
    """Reckon what the stack costs a month, by list prices of one Region, and say what lowers it.

    Give the numbers of one account and Region. Free tiers and discounts are not taken off. Exit code: 0; 2 usage.
    """
    usage = Usage(**counts)
    found = bill.lines(usage)
    if as_json:
        return click.echo(json.dumps(document(usage, found), indent=2))
    return _show(usage, found)


def document(usage: Usage, found: tuple[Line, ...]) -> dict[str, Any]:
    """The bill as `--json` prints it."""
    return {
        "usd_per_month": round(bill.total(found), 4),
        "usd_per_month_if_unsure_is_charged": round(bill.total(found) + bill.total(found, sure=False), 4),
        "prices": {"region": bill.prices()["region"], "date": bill.prices()["date"]},
        "usage": asdict(usage),
        "lines": [{**asdict(line), "usd_per_month": round(line.usd, 4)} for line in found],
        "advice": list(advice(usage, found)),
    }


def advice(usage: Usage, found: tuple[Line, ...]) -> Iterator[str]:
    """What dominates, and what lowers it at which price in sight."""
    top = found[0]
    yield f"Dearest: {top.service}, {top.what}, {shown(top.usd)} of {shown(bill.total(found))}."
    events = next((line.usd for line in found if line.price == bill.price("data-event")), 0.0)
    if events > bill.total(found) / 2:
        yield (
            "Log the deletes of enrolled buckets only (guardrail selectors, or TrailBuckets): those in others are then"
            " free."
        )
        less = replace(usage, deletes=round(usage.deletes * (1 - LEFT_OUT)))
        saved = bill.total(found) - bill.total(bill.lines(less))
        yield (
            f"Leave the roles that delete in bulk out of the selectors (userIdentity.arn): {shown(saved)} less if they"
            f" make {LEFT_OUT:.0%} of the deletes. Each one left out is a blind spot: nobody sees what it deletes,"
            " versions too."
        )
        unwatched = bill.total(bill.lines(replace(usage, watches_deletes=False, trail="none")))
        yield (
            f"WatchVersionDeletes=no, and no data events: {shown(bill.total(found) - unwatched)} less. Then no version "
            "delete is seen, done or refused; settings still are."
        )
        yield "Trail=none, if a trail of yours logs these deletes already: every further copy is charged again."
    slower = replace(usage, sweep_rate="rate(24 hours)")
    if saved := max(0.0, bill.total(found) - bill.total(bill.lines(slower))):
        yield f"SweepRate=rate(24 hours): {shown(saved)} less. What no event told of is then found a day late."


def shown(usd: float) -> str:
    """An amount for people."""
    return f"${usd:,.2f}" if usd >= 0.005 or not usd else "< $0.01"


def rows(found: tuple[Line, ...]) -> Iterator[tuple[str, str, str, str, str]]:
    """Service, what for, how many, price with its mark, amount."""
    for line in found:
        price = line.price
        each = f"${_exact(price.usd)}" + (f" per {price.per:,}" if price.per > 1 else "")
        count = f"{line.count:,.0f}" if line.count >= 10 or line.count == round(line.count) else f"{line.count:.2g}"
        unit = price.unit.removesuffix("s") if line.count == 1 else price.unit
        amount = shown(line.usd) if line.is_sure else f"({shown(line.usd)})"
        yield line.service, line.what, f"{count} {unit}", f"{each} {MARKS[price.seen]}".rstrip(), amount


def _exact(usd: float) -> str:
    return f"{usd:.2f}" if round(usd, 2) == usd else f"{usd:.10f}".rstrip("0")


def notes(found: tuple[Line, ...]) -> Iterator[str]:
    """What the marks mean, and what is not in it."""
    told = bill.prices()
    yield f"List prices of {told['region']}, {told['date']}, without free tiers and discounts."
    yield "* as others quote AWS; unverified: not known whether it is charged, or at what price (cli/prices.toml)."
    if unsure := bill.total(found, sure=False):
        yield f"In brackets, not in the sum: {shown(unsure)} more if AWS charges CloudTrail's data events on the bus."
    yield "Management events on the bus cost nothing, nor does a first copy of them in a trail."


def _show(usage: Usage, found: tuple[Line, ...]) -> None:
    console = Console(highlight=False, markup=False)
    table = Table(box=None, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for service, what, count, each, amount in rows(found):
        table.add_row(amount, f"{service}: {what}, {count} at {each}")
    table.add_row(shown(bill.total(found)), "a month in all", style="bold")
    console.print(table)
    for line in (*notes(found), *advice(usage, found)):
        console.print(f"- {line}")
