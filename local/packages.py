"""Functions start faster: a package is unpacked and compiled once per cloud, and what Lambda has not is not imported.

A new environment of a function still is a new process that imports all it needs.
"""

import io
import tempfile
import threading
import types
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from local import emulator

# boto3 imports both where they are, a third of its time; Lambda's Python has neither.
_WITHOUT = 'import sys\nsys.modules["awscrt"] = sys.modules["OpenSSL"] = None\n'
_lock = threading.Lock()


def install() -> None:
    """Stand in front of what ministack's environments unpack and run."""
    runtime = emulator.lambda_runtime
    runtime.zipfile = types.SimpleNamespace(**vars(zipfile) | {"ZipFile": _Package})
    runtime._PYTHON_WORKER_SCRIPT = _WITHOUT + runtime._PYTHON_WORKER_SCRIPT


class _Package(zipfile.ZipFile):
    """A package, or a layer, whose files are links into a folder that all environments of this cloud share."""

    def extractall(self, path: Any = None, *_: Any) -> None:
        with _lock:
            shared = _unpacked(Path(str(self.filename)).read_bytes())
        for each in shared.iterdir():
            (Path(path) / each.name).symlink_to(each)


@cache
def _unpacked(package: bytes) -> Path:
    """The folder of this package; Python leaves its byte code there."""
    folder = Path(tempfile.mkdtemp(prefix="package-"))
    with zipfile.ZipFile(io.BytesIO(package)) as packed:
        packed.extractall(folder)
    return folder
