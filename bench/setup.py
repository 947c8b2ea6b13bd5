"""`make bench-setup`: an environment for each peer, out of pinned requirements; 0 if all are there."""

import shutil
import subprocess
import sys
from pathlib import Path

from local import clean
from local.cloud import ROOM

PEERS = ("custodian", "prowler")
VERSION = "3.12"
"""Prowler takes no newer Python."""


def python_of(peer: str) -> Path | None:
    """The peer's interpreter; None where it is not installed."""
    found = ROOM / "build" / "bench" / peer / "bin" / "python"
    return found if found.is_file() else None


def main() -> int:
    """Make what is missing."""
    try:
        for peer in PEERS:
            if python_of(peer) is None:
                print(f"bench-setup: installing {peer} (one to five minutes)", flush=True)
                pins = (ROOM / "bench" / "peers" / f"{peer}.txt").read_text()
                clean.make_venv(ROOM / "build" / "bench" / peer, pins, _interpreter())
    except clean.CleanError as wrong:
        print(f"bench-setup: {wrong}", file=sys.stderr)
        return 1
    return 0


def _interpreter() -> str:
    """A Python that the peers take; pyenv's shim is there even where the version is not."""
    shim = shutil.which(f"python{VERSION}")
    found = [shim] if shim else []
    found += sorted(map(str, Path.home().glob(f".pyenv/versions/{VERSION}.*/bin/python{VERSION}")))
    for each in found:
        if subprocess.run([each, "-c", ""], capture_output=True, check=False).returncode == 0:
            return each
    raise clean.CleanError(f"Python {VERSION} is needed for the peers: install it so that python{VERSION} works")


if __name__ == "__main__":
    sys.exit(main())
