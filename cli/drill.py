"""`guardrail drill`: does a call on the stack's own bucket come back, and, loudly, do alerts arrive?"""

import json
import time
from typing import Any

import click
from rich.console import Console

from cli.stack import Stack, Trouble
from shared import overdue
from shared.facts import CHANGE, DELETE, Drill

POLL_S = 2.0
LOUD_REASON = "DRILL: somebody asked whether this alarm arrives; nothing is wrong, and it goes back to OK by itself."


@click.command()
@click.option("--loud", is_flag=True, help="Also send a marked alert down every channel, alarms included.")
@click.option("--wait", "minutes", type=click.FloatRange(0, 60), default=30, show_default=True, help="Minutes to wait.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def drill(stack: Stack, loud: bool, minutes: float, as_json: bool) -> int:
    """Start a drill and wait until it is back. Only the stack's own canary bucket is touched.

    Needs Drill=yes. Exit code: 0 all came back, 1 something did not, 3 it could not be started.
    """
    if "DrillFunctionName" not in stack.outputs:
        where = f"--stack-name {stack.name} --region {stack.settings.aws_region}"
        raise Trouble(f"the stack {stack.name} has no drill: sam deploy {where} --parameter-overrides Drill=yes")
    before = stack.guard.notes.drill()
    _invoke(stack, stack.outputs["DrillFunctionName"], {"drill": "by hand"})
    if loud:
        _sound(stack)
    found = _awaited(stack, before, minutes * 60)
    if as_json:
        click.echo(json.dumps(_document(found, loud=loud)))
    else:
        _show(found, stack.settings.command, loud=loud)
    return 1 if found.missing else 0


def _sound(stack: Stack) -> None:
    """The alert topic by our own code, both topics by an alarm: the ways that a real alert would go."""
    _invoke(stack, stack.outputs["HealthFunctionName"], {"health": "loud"})
    alarm = stack.outputs["HealthHeartbeatAlarmName"]
    stack.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason=LOUD_REASON)


def _invoke(stack: Stack, function: str, payload: dict[str, str]) -> None:
    answer = stack.client("lambda").invoke(FunctionName=function, Payload=json.dumps(payload).encode())
    if "FunctionError" in answer:
        raise Trouble(f"{function} failed; its log says why")


def _awaited(stack: Stack, before: Drill | None, limit_s: float) -> Drill:
    """The drill once both halves are back, or as it is when time is over.

    before: the one that was noted until now; two clocks, Lambda's and this one's, would not tell them apart.
    """
    deadline = time.monotonic() + limit_s
    while True:
        found = stack.guard.notes.drill()
        if found is None or (before is not None and found.at == before.at):
            raise Trouble("the drill was not noted; the log of the drill function says why")
        if not found.missing or time.monotonic() > deadline:
            return found
        time.sleep(POLL_S)


def _document(found: Drill, *, loud: bool) -> dict[str, Any]:
    halves = {half: found.lags[half].total_seconds() if half in found.lags else None for half in (CHANGE, DELETE)}
    return {"at": found.at.isoformat(), "lag_s": halves, "left_out": _left_out(found), "loud": loud}


def _left_out(found: Drill) -> list[str]:
    return [half for half in (CHANGE, DELETE) if not found.id_of(half)]


def _show(found: Drill, command: str, *, loud: bool) -> None:
    console = Console()
    for half in (CHANGE, DELETE):
        what = overdue.HALVES[half]
        if half in found.lags:
            console.print(f"[green]back[/]     {what}, after {found.lags[half].total_seconds():.0f} s")
        elif found.id_of(half):
            console.print(f"[red]missing[/]  {what} has not come back; {command} doctor says what is wrong")
        else:
            said = f"no trail logs it; {command} doctor prints the selector to add"
            console.print(f"[yellow]left out[/] {what}: {said}")
    if loud:
        console.print("A marked alert and a marked alarm were sent: every subscriber should have one of them now.")
