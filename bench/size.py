"""What a function's package weighs, by what is in it, and how much of it `sam build` alone would ship."""

import gzip
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.show import table
from local.cloud import ROOM
from local.runtime import BUILD

FUNCTION = "SweepFunction"
"""All functions share one folder of code."""
DEPENDENCIES = BUILD.parent / "deps"
"""What sam installed, before anything was dropped."""


def measure() -> dict[str, Any]:
    """KiB by top-level name: sources, compiled files; and both compressed, as a zip about does."""
    folder = BUILD / FUNCTION
    names = sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")
    found = {name: _weighed(_files(folder, name)) for name in names}
    alone = [*DEPENDENCIES.rglob("*"), *(ROOM / "src").rglob("*")]
    sources = [file for file in alone if file.is_file() and file.suffix != ".pyc"]
    return {"kib": found, "sam_build_alone_kib": _kib(sum(file.stat().st_size for file in sources))}


def _files(folder: Path, name: str) -> list[Path]:
    path = folder / name
    compiled = list((folder / "__pycache__").glob(f"{path.stem}.*.pyc")) if path.suffix == ".py" else []
    return [path, *compiled] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]


def _weighed(files: list[Path]) -> dict[str, int]:
    compiled = [file for file in files if file.suffix == ".pyc"]
    sources = [file for file in files if file.suffix != ".pyc"]
    return {
        "sources": _kib(sum(file.stat().st_size for file in sources)),
        "compiled": _kib(sum(file.stat().st_size for file in compiled)),
        "compressed": _kib(sum(len(gzip.compress(file.read_bytes(), 6)) for file in files)),
    }


def _kib(size_bytes: int) -> int:
    return round(size_bytes / 1024)


def show(found: dict[str, Any]) -> list[Table]:
    """One table."""
    columns = ("sources", "compiled", "compressed")
    rows = [(name, *(kib[column] for column in columns)) for name, kib in found["kib"].items()]
    total = ("all", *(sum(kib[column] for kib in found["kib"].values()) for column in columns))
    alone = ("what sam build alone makes", found["sam_build_alone_kib"], None, None)
    return [table("Size of a function's package, KiB", ("", *columns), [*rows, total, alone])]
