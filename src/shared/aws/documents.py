"""Our data classes as JSON, the form in which the table keeps them."""

import json
from datetime import datetime
from typing import Any


def dump(value: Any) -> str:
    """One line of JSON; equal values give equal lines."""
    return json.dumps(value, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """What JSON does not know: times, and data classes, whose slots are their fields (asdict copies all, slowly)."""
    return value.isoformat() if isinstance(value, datetime) else {n: getattr(value, n) for n in value.__slots__}
