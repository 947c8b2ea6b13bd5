"""docs/attacks.json: what came of each attack in a run; another result fails, UPDATE_ATTACKS=1 writes it anew."""

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from local.cloud import ROOM
from tests.e2e.attack_stage import Attack, Result

RECORD = ROOM / "docs" / "attacks.json"
LOCK = ROOM / "build" / "attacks.lock"


def recorded() -> list[dict[str, Any]]:
    """All of it."""
    found: list[dict[str, Any]] = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else []
    return found


def check(result: Result, attack: Attack) -> None:
    """Nothing that has to be seen is missing, and all but the measured seconds is as it was recorded."""
    assert set(result.seen) >= attack.must, f"{attack}: {sorted(attack.must - set(result.seen))} not seen: {result}"
    if attack.silent or attack.rightly:
        assert result.seen == [], f"{attack}: it is seen after all: {result}"
    else:
        assert result.seen, f"{attack}: nothing came"
    if os.environ.get("UPDATE_ATTACKS"):
        _write(result)
    known = [each for each in recorded() if (each["row"], each["move"]) == (result.row, result.move)]
    assert [_lasting(each) for each in known] == [_lasting(asdict(result))], "UPDATE_ATTACKS=1 records it anew"


def strays(attacks: Iterable[Attack]) -> set[tuple[int, str]]:
    """What is recorded and not played any more, or played and not recorded."""
    return {(each["row"], each["move"]) for each in recorded()} ^ {(each.row, each.move) for each in attacks}


def _lasting(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "measured_s"}


def _write(result: Result) -> None:
    """Under a lock: the files of tests run side by side."""
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        others = [each for each in recorded() if (each["row"], each["move"]) != (result.row, result.move)]
        ordered = sorted([*others, asdict(result)], key=lambda each: (each["row"], each["move"]))
        RECORD.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
