"""The last step of `make build`: what no function uses is dropped, and the rest is compiled.

In Lambda the package is read-only: without compiled files each cold start compiles every module anew. What `sam build`
alone makes runs as well, later and larger (bench/README.md).
"""

import compileall
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

from local.runtime import BUILD

LIBRARY = "aws_lambda_powertools"
UNUSED = ("event_handler", "middleware_factory", "metrics/provider/datadog")
UTILITIES_USED = {"__init__.py", "jmespath_utils"}
"""Of `utilities`; the logger imports jmespath_utils."""


class PackageError(Exception):
    """The package is not what is expected; one sentence."""


def main() -> int:
    """All functions of .aws-sam/build."""
    try:
        for function in sorted(folder for folder in BUILD.iterdir() if folder.is_dir()):
            for path in [*unused(function / LIBRARY), *function.glob("*.data")]:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            compiled(function)
    except PackageError as wrong:
        print(f"build: {wrong}", file=sys.stderr)
        return 1
    return 0


def unused(library: Path) -> Iterator[Path]:
    """What of the library nothing imports that we import."""
    utilities = library / "utilities"
    gone = [name for name in (*UNUSED, "utilities/jmespath_utils") if not (library / name).is_dir()]
    if gone:
        raise PackageError(f"{LIBRARY} has no {', '.join(gone)} any more: see what local/package.py may still drop")
    yield from (library / name for name in UNUSED)
    yield from (path for path in utilities.iterdir() if path.name not in UTILITIES_USED)


def compiled(folder: Path) -> None:
    """A zip keeps no true times, so that Python must not compare them; and no path of this machine gets in."""
    mode = PycInvalidationMode.UNCHECKED_HASH
    fine = compileall.compile_dir(folder, quiet=1, stripdir=str(folder), prependdir="/var/task", invalidation_mode=mode)
    if not fine:
        raise PackageError(f"{folder.name} has a file that does not compile; see above")


if __name__ == "__main__":
    sys.exit(main())
