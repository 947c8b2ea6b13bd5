"""`guardrail doctor`: would anything be noticed? Before and after deploying, with the operator's own credentials."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta

import click
from rich.console import Console
from rich.markup import escape

from cli.screen import printable
from cli.stack import Stack
from shared import overdue, unread
from shared.aws import health, trails
from shared.aws.parts import answer_of, bad, fine
from shared.aws.trails import put_back
from shared.facts import Condition, RootState, State

STALE = timedelta(minutes=45)
"""Three looks at itself that should have been."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def doctor(stack: Stack, as_json: bool) -> int:
    """Look whether the guardrail can see and be heard: trails, rules, schedules, subscriptions, queues, drill, root.

    Each line says what it means and what mends it. Exit code: 0 fine, 1 something to mend, 3 something could not be
    told.
    """
    found = conditions(stack)
    console = Console()
    for condition in found:
        if as_json:
            click.echo(json.dumps(asdict(condition)))
        else:
            _show(console, condition)
    states = {condition.state for condition in found}
    return 3 if State.UNKNOWN in states else 1 if State.BAD in states else 0


def conditions(stack: Stack) -> list[Condition]:
    """What all looks find."""
    return [each for look in LOOKS for each in health.guarded(look, stack)]


def _deployed(stack: Stack) -> Iterator[Condition]:
    """Stack: is it there?"""
    if stack.exists:
        yield fine("stack", f"{stack.name} is deployed in {stack.settings.aws_region}")
    else:
        meaning = f"{stack.absence} ({stack.settings.aws_region}): nothing is watched here"
        yield bad("stack", "bad", meaning, stack.way_out)


def _health(stack: Stack) -> Iterator[Condition]:
    """Guardrail: what it sees of itself at every look, read now; without a stack, only the trails."""
    enrolled = stack.watched()
    if not stack.exists:
        yield from trails.read(stack.settings, stack.client, enrolled).conditions
        return
    found = health.read(stack.settings, stack.client, enrolled, stack.guard.clock())
    yield from found.conditions
    yield from _drill(stack, canary_logged=found.canary_logged)


def _drill(stack: Stack, *, canary_logged: bool) -> Iterator[Condition]:
    """The last drill, and whether its delete can be seen at all."""
    canary = stack.settings.canary_bucket
    if not canary:
        return
    yield from overdue.conditions(stack.guard.notes.drill(), stack.settings, stack.guard.clock(), ())
    if not canary_logged and stack.settings.watch_version_deletes:
        meaning = f"no trail logs the deletes of the drill's bucket {canary}: that half of the drill is left out"
        yield bad("drill", "bad", meaning, f"add this selector to a trail: {json.dumps(_canary_selector(stack))}")


def _canary_selector(stack: Stack) -> dict[str, object]:
    arn = f"arn:{stack.settings.partition}:s3:::{stack.settings.canary_bucket}/"
    fields = {
        "eventCategory": {"Equals": ["Data"]},
        "resources.type": {"Equals": ["AWS::S3::Object"]},
        "readOnly": {"Equals": ["false"]},
        "eventName": {"Equals": ["DeleteObject", "DeleteObjects"]},
        "resources.ARN": {"StartsWith": [arn]},
    }
    listed = [{"Field": field, **how} for field, how in fields.items()]
    return {"Name": "Deletes of the guardrail's drill", "FieldSelectors": listed}


def _last_look(stack: Stack) -> Iterator[Condition]:
    """Look: does the guardrail look at itself?"""
    if not stack.exists:
        return
    look = stack.guard.notes.look()
    if look is not None and stack.guard.clock() - look.at <= STALE:
        yield fine("look", f"the guardrail looked at itself at {look.at:%Y-%m-%d %H:%M} UTC")
    else:
        when = f"since {look.at:%Y-%m-%d %H:%M} UTC" if look else "yet"
        meaning = f"the guardrail has not looked at itself {when}: it would not notice that it is blind"
        yield bad("look", "bad", meaning, stack.outputs["HealthNow"])


def _second_way_out(stack: Stack) -> Iterator[Condition]:
    """Second way out: does anybody hear it when the guardrail is silenced?"""
    if not stack.exists:
        return
    topic = stack.outputs["SilenceTopicArn"]
    answer = answer_of(stack.client("sns").get_topic_attributes, TopicArn=topic)
    if answer is None:
        meaning = f"{topic} is gone: nobody is told past our own code when the guardrail is silenced"
        yield bad("second way", "gone", meaning, put_back(stack.settings))
    elif int(answer["Attributes"].get("SubscriptionsConfirmed", 0)):
        yield fine("second way", "somebody is told when the guardrail is silenced")
    else:
        where = f"--region {stack.settings.aws_region} --topic-arn {topic} --protocol email"
        mend = f"aws sns subscribe {where} --notification-endpoint you@example.com"
        yield bad("second way", "bad", "nobody has confirmed to be told when the guardrail is silenced", mend)


def _root(stack: Stack) -> Iterator[Condition]:
    """Root: could the runbook be followed today, and was its last step done?"""
    root = stack.guard.root().read(stack.settings.account_id)
    if not isinstance(root, RootState):
        meaning = f"you may not call {root.action}: nobody knows"
        mend = "ask for a role that may read IAM's summary"
        yield Condition(about="root", state=State.UNKNOWN, meaning=meaning, mend=mend)
        return
    if root.access_key:
        mend = "as root: console, Security credentials, Access keys, Delete"
        yield bad("root", "bad", "root has an access key: it can do everything", mend)
    else:
        yield fine("root", "root has no access key")
    if root.codes:
        yield fine("root", "root has a device that shows codes")
    else:
        meaning = (
            "no device of root is known that shows codes (a hardware token is in no list): MFA delete cannot be changed"
        )
        state = State.UNKNOWN if root.device else State.BAD
        mend = "as root: console, Security credentials, Assign MFA device, Authenticator app"
        yield Condition(about="root", state=state, meaning=meaning, mend=mend)


def _table(stack: Stack) -> Iterator[Condition]:
    """Table: can all that is remembered be read?"""
    if stack.exists:
        yield from unread.conditions(stack.memories) or [fine("table", "what is remembered can be read")]


LOOKS: tuple[health.Look[Stack], ...] = (_deployed, _health, _last_look, _table, _second_way_out, _root)


def _show(console: Console, condition: Condition) -> None:
    colour = {State.FINE: "green", State.BAD: "red", State.UNKNOWN: "yellow"}[condition.state]
    text = escape(printable(condition.meaning))
    console.print(f"[{colour}]{condition.state.value:8}[/]{condition.about:13} {text}")
    if condition.mend:
        console.print(f"                      -> {escape(condition.mend)}", soft_wrap=True)
