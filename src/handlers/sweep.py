"""The schedule's tick, or a person's request: look at every enrolled bucket."""

from shared import parse
from shared.guardrail import Deadline, Guardrail, Report, entry
from shared.sweep import sweep


@entry
def handler(event: parse.Event, guard: Guardrail, _deadline: Deadline) -> Report:
    """Sweep, if that is what is asked for."""
    parse.sweep(event)
    return sweep(guard)
