"""The schedule's tick, or a person's request: look at every enrolled bucket, or only send what is owed."""

from shared import parse, sweep
from shared.guardrail import Deadline, Guardrail, Report, entry


@entry
def handler(event: parse.Event, guard: Guardrail, _deadline: Deadline) -> Report:
    """Do what is asked for."""
    return sweep.run(guard, parse.sweep(event))
