"""`guardrail cost`: the bill from numbers alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from cli import bill, protect, selectors
from cli.bill import Usage
from cli.main import guardrail

PRICE = bill.price("data-event")
README = Path(__file__).resolve().parents[2] / "README.md"
MANY_ACCOUNTS = README.with_name("docs") / "many-accounts.md"
COUNTS = st.integers(0, 10**9)
USAGES = st.builds(
    Usage,
    deletes=COUNTS,
    buckets=st.integers(0, 100_000),
    version_deletes=COUNTS,
    changes=COUNTS,
    alerts=COUNTS,
    emails=st.integers(0, 9),
    urls=st.integers(0, 9),
    sweep_rate=st.sampled_from(("rate(15 minutes)", "rate(1 hour)", "rate(24 hours)")),
    trail=st.sampled_from(("none", "deletes", "all")),
    watches_deletes=st.booleans(),
    drill=st.booleans(),
)


def run(*words: object) -> Result:
    """The command, as a person starts it."""
    return CliRunner(mix_stderr=False).invoke(
        guardrail, ["cost", *map(str, words)], standalone_mode=False, env={"COLUMNS": "200"}
    )


def said(*words: object) -> dict[str, Any]:
    """Its JSON."""
    document: dict[str, Any] = json.loads(run("--json", *words).stdout)
    return document


def of(document: dict[str, Any], service: str) -> float:
    """What a service costs in it, if all that is unsure is not charged."""
    lines = (each for each in document["lines"] if each["service"] == service and each["is_sure"])
    return sum(float(each["usd_per_month"]) for each in lines)


def test_a_hundred_million_deletes_cost_a_hundred_dollars_and_a_tenth_of_them_ten() -> None:
    for deletes, usd in ((100_000_000, 100), (10_000_000, 10)):
        document = said("--deletes-per-month", deletes, "--buckets", 1000)
        assert of(document, "CloudTrail") == usd
        assert document["usd_per_month_if_unsure_is_charged"] - document["usd_per_month"] == pytest.approx(usd)


def test_the_sum_is_that_of_the_lines() -> None:
    document = said("--deletes-per-month", 5, "--buckets", 10, "--drill", "--trail", "all", "--urls", 2)
    sure = [each["usd_per_month"] for each in document["lines"] if each["is_sure"]]
    assert document["usd_per_month"] == pytest.approx(sum(sure), abs=0.001)
    assert sure == sorted(sure, reverse=True)


def test_a_quiet_stack_costs_its_key_alarms_and_metrics() -> None:
    document = said(
        "--deletes-per-month", 0, "--buckets", 0, "--changes", 0, "--alerts", 0, "--no-watch-version-deletes"
    )
    assert of(document, "KMS") == pytest.approx(1.01, abs=0.01)
    assert of(document, "CloudTrail") == of(document, "SNS") == of(document, "SQS") == 0
    assert document["usd_per_month"] < 4


def test_what_is_not_from_aws_itself_is_marked() -> None:
    shown = run("--deletes-per-month", 1_000_000, "--buckets", 10).stdout
    [on_the_bus] = [line for line in shown.splitlines() if "the same on the bus" in line]
    assert "unverified" in on_the_bus
    assert "($1.00)" in on_the_bus
    for line in bill.lines(Usage(deletes=1, buckets=1)):
        [row] = [row for row in shown.splitlines() if f": {line.what}, " in row]
        assert ("*" in row, "unverified" in row) == (line.price.seen == "others", line.price.seen == "no")
    document = said("--deletes-per-month", 1, "--buckets", 1)
    assert {each["price"]["seen"] for each in document["lines"]} == {"aws", "others", "no"}
    assert document["prices"] == {"region": "us-east-1", "date": str(bill.prices()["date"])}


def test_each_role_left_out_is_called_a_blind_spot_where_that_is_advised() -> None:
    advice = " ".join(said("--deletes-per-month", 100_000_000, "--buckets", 1000)["advice"])
    assert "CloudTrail, deletes logged (data events), $100.00 of" in advice
    assert "$90.00 less if they make 90% of the deletes. Each one left out is a blind spot" in advice
    assert "blind spot" not in " ".join(said("--deletes-per-month", 1000, "--buckets", 10)["advice"])


@pytest.mark.parametrize(
    "words", [(), ("--buckets", 3), ("--deletes-per-month", 3), ("--deletes-per-month", -1, "--buckets", 3)]
)
def test_what_is_not_known_is_asked_for_and_not_guessed(words: tuple[object, ...]) -> None:
    assert getattr(run(*words).exception, "exit_code", None) == 2


@given(usage=USAGES, more=USAGES)
def test_more_of_anything_never_costs_less(usage: Usage, more: Usage) -> None:
    for name in ("deletes", "buckets", "version_deletes", "changes", "alerts", "emails", "urls"):
        values = sorted((getattr(usage, name), getattr(more, name)))
        low, high = (bill.total(bill.lines(replace(usage, **{name: value}))) for value in values)
        assert low <= high + 1e-9


def test_every_price_has_a_source_and_is_used() -> None:
    everything = Usage(deletes=1, buckets=1, version_deletes=1, urls=1, trail="all", drill=True)
    used = {line.price for line in bill.lines(everything)} | {bill.price(name) for name in bill.BY_PIECE.values()}
    for name in bill.prices()["price"]:
        price = bill.price(name)
        assert price in used, name
        assert price.source.startswith("https://")
        assert price.seen in {"aws", "others", "no"}
        assert (price.seen == "aws") <= price.source.startswith("https://aws.amazon.com/")


def test_readme_says_what_a_few_buckets_cost() -> None:
    usd = bill.total(bill.lines(Usage(deletes=100_000, buckets=10)))
    more = bill.price("data-event")
    readme = README.read_text(encoding="utf-8")
    assert f"About ${round(usd, 1):.2f} a month for a few buckets" in readme
    assert f"with 100,000 deletes that a trail logs; ${more.usd * 100_000 / more.per:.2f} for 100,000 more." in readme
    assert f"[${round(usd, 1):.2f}](cost.md), 100,000 deletes at home included" in MANY_ACCOUNTS.read_text(
        encoding="utf-8"
    )


def test_protect_and_selectors_reckon_with_the_same_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bill, "price", lambda name: replace(PRICE, usd=0.5) if name == "data-event" else None)
    assert protect._cost(1_000_000) == {
        "usd_per_100000_deletes": 0.5,
        "deletes_per_month": 1_000_000,
        "usd_per_month": 5.0,
    }
    assert "costs $0.50 per 100,000, each key" in next(protect._closing(None, watches=True))
    assert selectors._cost().startswith("logging costs $0.50 per 100,000 deletes")
