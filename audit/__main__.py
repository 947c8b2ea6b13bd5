"""`make audit`: what tools of others find in the templates, their policies, the workflow and the pinned packages.

Exit code 0: nothing without a reason; 1: something, or a tool could not look. OFFLINE=1 (`--offline`) leaves out the
one that asks a service, and says so.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass

from audit import resolved
from local import clean
from local.cloud import ROOM

REQUIREMENTS = ("src/requirements.txt", "requirements-dev.txt", "audit/tools/*.txt")
"""Not bench/peers: what a peer needs is the peer's to mend, and runs only where somebody measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A command line tool in an environment of its own: what it looks at, and how it is called."""

    name: str
    looks_at: str
    words: tuple[str, ...]
    online: bool = False


def tools() -> list[Tool]:
    """All of them, as they are to be called in the project's folder."""
    built = resolved.FOLDER.relative_to(ROOM)
    checkov = ("-m", "checkov.main", "--config-file", "audit/checkov.yaml")
    templates = [str(built / name) for name in ("template.json", "spoke.json")]
    parliament = ("-W", "ignore", "-c", "from parliament.cli import cli; cli()", "--config", "audit/parliament.yaml")
    return [
        Tool(name="checkov", looks_at="both templates", words=(*checkov, "-f", *templates)),
        Tool(name="checkov", looks_at="the workflow", words=(*checkov, "-d", ".github")),
        Tool(name="parliament", looks_at="every policy", words=(*parliament, "--directory", str(built / "policies"))),
        *(_pip_audit(str(path.relative_to(ROOM))) for each in REQUIREMENTS for path in sorted(ROOM.glob(each))),
    ]


def _pip_audit(pins: str) -> Tool:
    # strict: a package that the service does not know fails, for it was not looked at; one file a run, for two may have
    # two versions of a package
    words = ("-m", "pip_audit", "--strict", "--disable-pip", "--require-hashes", "-r", pins)
    return Tool(name="pip-audit", looks_at=pins, words=words, online=True)


def main() -> int:
    """Run each; 0 if all found nothing."""
    parser = argparse.ArgumentParser(prog="make audit", description="OFFLINE=1 leaves out what needs a service.")
    parser.add_argument("--offline", action="store_true")
    offline = parser.parse_args().offline
    resolved.main()
    outcomes = [(tool, "NOT RUN, by OFFLINE=1" if tool.online and offline else _run(tool)) for tool in tools()]
    for tool, outcome in outcomes:
        print(f"audit: {tool.name}, {tool.looks_at}: {outcome}")
    return int(any(outcome.startswith("failed") for _tool, outcome in outcomes))


def _run(tool: Tool) -> str:
    """What came of it, in a few words; it prints its own findings."""
    print(f"audit: {tool.name} looks at {tool.looks_at}", flush=True)
    pins = (ROOM / "audit" / "tools" / f"{tool.name}.txt").read_text(encoding="utf-8")
    try:
        python = clean.kept(resolved.FOLDER / "tools", pins)
    except clean.CleanError as wrong:
        print(wrong, file=sys.stderr)
        return "failed: it could not be installed"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BC_", "CKV_", "CHECKOV"))}
    ended = subprocess.run([str(python), *tool.words], cwd=ROOM, env=env, check=False).returncode
    if not ended:
        return "nothing found"
    return "failed: it found something" + (", or its service does not answer" if tool.online else "")


if __name__ == "__main__":
    sys.exit(main())
