"""`guardrail spokes`: what a hub knows of the other accounts and Regions, without asking them."""

import json
from typing import Any

import pytest

from cli.stack import Stack
from handlers import bucket_change
from tests.functional.commands import Desk, as_deployed
from tests.functional.test_schema import newer, one, put
from tests.functional.test_spokes import DEV, LAB, Hub, hub, turned_off

__all__ = ["hub"]


@pytest.fixture
def desk(hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """The hub's stack as the command sees it."""
    return as_deployed(hub.stage, monkeypatch, capsys)


def settle(hub: Hub) -> None:
    """Two spokes: in one a bucket is turned off, in the other all is well."""
    hub.bucket("vault", DEV, "eu-west-1", mfa_delete="Enabled")
    hub.bucket("bare", DEV, "eu-west-1")
    hub.bucket("fine", LAB, "eu-west-1", mfa_delete="Enabled")
    hub.hello(DEV, "eu-west-1")
    hub.hello(LAB, "eu-west-1")
    hub.sweep()
    hub.stage.mfa_delete["vault"] = "Disabled"
    hub.stage.invoke(bucket_change.handler, turned_off("vault", DEV, "eu-west-1"))


def test_each_spoke_is_listed_with_its_buckets_and_the_worst_that_is_open(hub: Hub, desk: Desk) -> None:
    settle(hub)
    hub.assumed.clear()
    desk.sent.clear()
    document = desk.said("spokes")
    dev, lab = document["spokes"]
    assert (dev["account"], dev["account_name"], dev["region"]) == (DEV, "dev", "eu-west-1")
    assert (dev["buckets"], list(dev["findings"])) == ({"unprotected": 2}, ["bare", "vault"])
    assert (lab["buckets"], lab["findings"], lab["forgotten"]) == ({"protected": 1}, {}, False)
    [turn_off] = dev["findings"]["vault"]
    result = desk.run("spokes", columns=160)
    assert result.return_value == 1
    assert f"2; critical {turn_off['id']} mfa-delete-disabled of vault" in result.stdout
    assert "1 protected" in result.stdout
    assert (hub.assumed, desk.sent) == ([], []), "nobody else is asked"


def test_on_a_telephone_no_line_is_a_table(hub: Hub, desk: Desk) -> None:
    settle(hub)
    lines = desk.run("spokes", columns=40).stdout.splitlines()
    assert f"dev ({DEV})" in lines
    assert "  eu-west-1" in lines


def test_a_spoke_that_was_forgotten_with_something_open_is_named_until_somebody_acknowledges_it(
    hub: Hub, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(hub)
    hub.stage.later(days=31)
    [dev] = desk.said("spokes")["spokes"]
    assert (dev["account"], dev["heard_at"], dev["forgotten"]) == (DEV, None, True)
    assert "vault" in dev["findings"]
    assert "forgotten" in desk.run("spokes", columns=160).stdout
    monkeypatch.setattr(Stack, "outputs", {"SweepFunctionName": "none is here, and the next sweep will do"})
    for found in dev["findings"].values():
        assert "acknowledged" in desk.run("ack", found[0]["id"], "--why", "the account is closed").stdout
    assert desk.said("spokes")["spokes"] == []


def test_with_nothing_open_it_exits_with_0_and_without_spokes_it_says_what_to_do(hub: Hub, desk: Desk) -> None:
    assert "deploy spoke.yaml" in desk.run("spokes").stdout
    hub.bucket("fine", LAB, "eu-west-1", mfa_delete="Enabled")
    hub.hello(LAB, "eu-west-1")
    hub.sweep()
    assert desk.run("spokes").return_value == 0
    assert json.loads(desk.run("spokes", "--json").stdout)["spokes"]


def test_what_this_version_cannot_read_of_a_spoke_is_named_and_ends_with_3_forgotten_or_not(
    hub: Hub, desk: Desk
) -> None:
    hub.bucket("fine", LAB, "eu-west-1", mfa_delete="Enabled")
    hub.hello(LAB, "eu-west-1")
    hub.sweep()
    spoilt = put(newer(one("state", f"{LAB}#eu-west-1#fine#")))["sk"]["S"]
    assert [each["unread"] for each in desk.said("spokes")["spokes"]] == [[spoilt]]
    for columns in (160, 40):
        shown = desk.run("spokes", columns=columns)
        assert shown.return_value == 3
        said = f"{LAB}, eu-west-1: 1 item(s) cannot be read by this version: the last verdict of fine"
        assert said in " ".join(shown.stdout.split())
    hub.stage.later(days=31)
    [lab] = desk.said("spokes")["spokes"]
    assert (lab["forgotten"], lab["unread"], desk.run("spokes").return_value) == (True, [spoilt], 3)


def test_a_stack_that_is_no_hub_says_so(
    stage: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is no hub" in as_deployed(stage, monkeypatch, capsys).refusal("spokes")
