"""A bucket's versioning was changed, or somebody tried."""

from shared import parse
from shared.guardrail import Deadline, Guardrail, entry
from shared.report import Report


@entry
def handler(event: parse.Event, guard: Guardrail, _deadline: Deadline) -> Report:
    """Look at the bucket and settle what is seen."""
    return guard.settle(guard.look(parse.bucket_change(event)))
