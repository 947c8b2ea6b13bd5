"""A Python that has what Lambda's has, awslambdaric and boto3, and nothing else; no tests of its own."""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from local.cloud import ROOM

LAMBDAS_OWN = (
    *("awslambdaric", "simplejson", "snapshot-restore-py"),
    *("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"),
)


def pinned(names: tuple[str, ...]) -> str:
    """The lines of requirements-dev.txt, version and hashes, of these packages."""
    blocks = re.findall(r"^\S+==.*\\\n(?:[ ]+--hash=.*\n)+", (ROOM / "requirements-dev.txt").read_text(), re.M)
    found = {block.partition("==")[0]: block for block in blocks}
    return "".join(found[name] for name in names)


def make_venv(folder: Path, requirements: str) -> None:
    """Only these packages, not even pip. Made aside and moved, so that what is there is always whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=folder.parent))
    (new / "requirements.txt").write_text(requirements)
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(new / "bin" / "python")]
    install = [*pip, "install", "--no-deps", "--require-hashes", "-r", str(new / "requirements.txt")]
    for command in ([sys.executable, "-m", "venv", "--without-pip", str(new)], install, [*pip, "check"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    try:
        new.rename(folder)
    except OSError:  # somebody else was faster
        shutil.rmtree(new)


@cache
def python() -> Path:
    """The interpreter; kept under build/ until a pin changes."""
    requirements = pinned(LAMBDAS_OWN)
    key = hashlib.sha256(f"{sys.version}\n{requirements}".encode()).hexdigest()[:16]
    folder = ROOM / "build" / "clean-venv" / key
    if not folder.is_dir():
        make_venv(folder, requirements)
    return folder / "bin" / "python"
