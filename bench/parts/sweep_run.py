"""The built sweep function, run once in a Python with Lambda's own packages; prints what it took."""

import json
import resource
import time

began = time.perf_counter()
from handlers.sweep import handler  # noqa: E402  # the start counts

errors = 0
try:
    answer = handler({"sweep": "by hand"}, None)
except ExceptionGroup as failed:
    answer, errors = {"sent": None, "transitions": []}, len(failed.exceptions)
used = resource.getrusage(resource.RUSAGE_SELF)
print(
    json.dumps(
        {
            "wall_s": round(time.perf_counter() - began, 2),
            "cpu_s": round(used.ru_utime + used.ru_stime, 2),
            "sent": answer["sent"],
            "errors": errors,
        }
    )
)
