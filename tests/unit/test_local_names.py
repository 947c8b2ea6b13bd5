"""Every name of ministack's that the embedded cloud leans on is asserted when it starts."""

import ast
from collections.abc import Iterator
from pathlib import Path

LOCAL = Path(__file__).resolve().parents[2] / "local"


def asserted() -> dict[str, set[str]]:
    """Of each module of ministack's, by the name that emulator.py gives it, what is asked for."""
    tree = ast.parse((LOCAL / "emulator.py").read_text(encoding="utf-8"))
    found = [(node.target, node.value) for node in tree.body if isinstance(node, ast.AnnAssign)]
    return {
        ast.unparse(name): {ast.literal_eval(each) for each in call.args[1:]}
        for name, call in found
        if isinstance(call, ast.Call)
    }


def used(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of each `emulator.MODULE.NAME`, also where a variable stands for the module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    stands_for: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            pairs = zip(_parts(node.targets[0]), _parts(node.value), strict=False)
            stands_for |= {ast.unparse(name): ast.unparse(value) for name, value in pairs}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            place = stands_for.get(owner, owner)
            if place.startswith("emulator.") and place.count(".") == 1:
                yield place.removeprefix("emulator."), node.attr


def _parts(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def test_no_name_is_used_that_is_not_asserted() -> None:
    known = asserted()
    files = [path for path in sorted(LOCAL.glob("*.py")) if path.name != "emulator.py"]
    missing = {(module, name) for path in files for module, name in used(path) if name not in known.get(module, ())}
    assert missing == set()
