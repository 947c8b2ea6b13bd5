"""It is time for a drill, or somebody asks for one."""

from shared import drill, parse
from shared.guardrail import Deadline, Guardrail, entry
from shared.report import Report


@entry
def handler(event: parse.Event, guard: Guardrail, _deadline: Deadline) -> Report:
    """Make its two calls; they come back through the other functions."""
    return drill.run(guard, event)
