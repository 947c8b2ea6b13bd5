"""Starts a command and writes what it took. A small process: Linux counts its parent's memory into a child's peak.

python launch.py RESULT.json COMMAND ...
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

began = time.perf_counter()
process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
taken = {
    "wall_s": time.perf_counter() - began,
    "cpu_s": used.ru_utime + used.ru_stime,
    "peak_mib": used.ru_maxrss / 1024,
    "code": os.waitstatus_to_exitcode(status),
}
Path(sys.argv[1]).write_text(json.dumps(taken), encoding="utf-8")
process.returncode = 0
