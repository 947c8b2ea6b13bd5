"""Object versions were deleted for good, or somebody tried: a batch of the delete queue."""

from typing import Any

from shared import deletes
from shared.guardrail import Deadline, Guardrail, entry
from shared.report import Report


@entry
def handler(event: Any, guard: Guardrail, deadline: Deadline) -> Report:
    """Settle the batch, group by group."""
    return deletes.settle_batch(event, guard, deadline)
