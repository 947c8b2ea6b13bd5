"""CPU milliseconds that a handler takes per event once it is warm. Needs nothing but what the handler needs.

python warm.py HANDLER EVENT.json TIMES
"""

import importlib
import json
import sys
import time
from pathlib import Path

WARM = 10


def main() -> None:
    """Run it, and forget between events what is known of the topic, so that each makes the same calls."""
    path, event, times = sys.argv[1:]
    module, _, name = path.rpartition(".")
    handler = getattr(importlib.import_module(module), name)
    guardrail = sys.modules.get("shared.guardrail")
    told = json.loads(Path(event).read_text())
    began = 0.0
    for number in range(WARM + int(times)):
        if number == WARM:
            began = time.process_time()
        if guardrail:
            guardrail.shared_guardrail().teller._known = None
        handler(told, None)
    print(1000 * (time.process_time() - began) / int(times), file=sys.stderr)


if __name__ == "__main__":
    main()
