"""The drill: two calls on a bucket of our own must come back as events; one that does not is a link that is broken."""

from shared import parse
from shared.aws import canary
from shared.facts import CALLED, Drill
from shared.guardrail import Guardrail
from shared.report import Report


def run(guard: Guardrail, event: parse.Event) -> Report:
    """Make the two calls and note their request ids. Without a trail that logs the canary's deletes, only the first."""
    parse.drill(event)
    bucket = guard.settings.canary_bucket
    look = guard.notes.look()
    logged = look is not None and look.canary_logged
    guard.notes.note_drill(Drill(at=guard.clock(), change_id=CALLED, delete_id=CALLED if logged else ""))
    delete_id = canary.refused_delete(bucket) if logged else ""
    guard.notes.note_called(canary.change(bucket), delete_id)
    notes = () if logged else ("no trail is known that logs the canary's deletes: that half is left out",)
    return Report(notes=notes)
