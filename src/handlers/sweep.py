"""The schedule's tick, a person's request, or turns of spokes: look at enrolled buckets, or only send what is owed."""

from shared import parse, spokes
from shared.guardrail import Deadline, Guardrail, entry
from shared.report import Report


@entry
def handler(event: parse.Event, guard: Guardrail, deadline: Deadline) -> Report:
    """Do what is asked for."""
    return spokes.run(guard, event, deadline)
