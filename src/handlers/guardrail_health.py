"""Somebody touched a part of the guardrail, or it is time to look whether it still sees and is heard."""

from shared import health, parse
from shared.guardrail import Deadline, Guardrail, entry
from shared.report import Report


@entry
def handler(event: parse.Event, guard: Guardrail, _deadline: Deadline) -> Report:
    """Look at every part of it."""
    return health.run(guard, event)
