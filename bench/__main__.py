"""`make bench`: every module of bench/ that has `measure` and `show` is run; tables out, results.json written.

python -m bench [--all] [NAME ...]
"""

import importlib
import json
import os
import pkgutil
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

import bench

RESULTS = Path(__file__).parent / "results.json"
VERSIONS = ("boto3", "botocore", "aws-lambda-powertools", "awslambdaric", "aws-sam-cli")
EVERYTHING = "BENCH_ALL"
"""Set in the environment: also what takes many minutes."""


def found() -> dict[str, ModuleType]:
    """The modules that follow the convention, by name; faults.py has its own verb."""
    names = [each.name for each in pkgutil.iter_modules(bench.__path__) if not each.name.startswith("_")]
    modules = {name: importlib.import_module(f"bench.{name}") for name in names}
    return {name: each for name, each in modules.items() if hasattr(each, "measure") and hasattr(each, "show")}


def machine() -> dict[str, Any]:
    """What it was measured on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    models = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": ", ".join(sorted(models)),
        "cores": os.cpu_count(),
        "load_at_start": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def main(arguments: list[str]) -> int:
    """Exit code 0; 2 for a name that is none."""
    console, modules = Console(width=140, highlight=False), found()
    names = [each for each in arguments if each != "--all"] or list(modules)
    if unknown := sorted(set(names) - set(modules)):
        print(f"bench: there is no {', '.join(unknown)}; there are {', '.join(modules)}", file=sys.stderr)
        return 2
    if "--all" in arguments:
        os.environ[EVERYTHING] = "yes"
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results["versions"] = {name: version(name) for name in VERSIONS}
    for name in names:
        told = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
        measured = modules[name].measure()
        results.setdefault("measured", {})[_key(name, modules[name])] = told | measured
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        for each in modules[name].show(measured):
            console.print(each)
            console.print()
    return 0


def _key(name: str, module: ModuleType) -> str:
    """What takes an hour with --all stands beside what is measured without, and is not overwritten by it."""
    return f"{name} --all" if EVERYTHING in os.environ and hasattr(module, "MORE_WITH_ALL") else name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
