"""A Python with Lambda's own packages and nothing else: what a function needs must come from its own folder."""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from local.cloud import ROOM

LAMBDAS_OWN = (
    *("awslambdaric", "simplejson", "snapshot-restore-py"),
    *("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"),
)


class CleanError(Exception):
    """It could not be made; the text has what pip said."""


def python() -> Path:
    """Its interpreter; kept under build/ until a pin changes."""
    return kept(ROOM / "build" / "clean-venv", pinned(LAMBDAS_OWN))


def kept(parent: Path, requirements: str) -> Path:
    """The interpreter of an environment below `parent` with these packages and no other; made if it is not there."""
    key = hashlib.sha256(f"{sys.version}\n{requirements}".encode()).hexdigest()[:16]
    if not (parent / key).is_dir():
        make_venv(parent / key, requirements)
    return parent / key / "bin" / "python"


def pinned(names: tuple[str, ...]) -> str:
    """The lines of requirements-dev.txt, version and hashes, of these packages."""
    blocks = re.findall(r"^\S+==.*\\\n(?:[ ]+--hash=.*\n)+", (ROOM / "requirements-dev.txt").read_text(), re.M)
    found = {block.partition("==")[0]: block for block in blocks}
    return "".join(found[name] for name in names)


def make_venv(folder: Path, requirements: str, interpreter: str = sys.executable) -> None:
    """Only these packages, not even pip. Made aside and moved, so that what is there is always whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=folder.parent))
    (new / "requirements.txt").write_text(requirements)
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(new / "bin" / "python")]
    install = [*pip, "install", "--no-deps", "--require-hashes", "-r", str(new / "requirements.txt")]
    for command in ([interpreter, "-m", "venv", "--without-pip", str(new)], install, [*pip, "check"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CleanError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    try:
        new.rename(folder)
    except OSError:  # somebody else was faster
        shutil.rmtree(new)
