"""Nothing lost, nothing wrong, while AWS fails (`make faults` is the long run of it)."""

import pytest

from tests.functional.conftest import Stage
from tests.functional.storm import lived


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_and_nothing_is_wrong(stage: Stage, seed: int) -> None:
    report = lived(stage, 150, seed)
    failures = {name: count for name, count in report.items() if name.startswith(("lost", "wrong", "still"))}
    assert failures == dict.fromkeys(failures, 0), report
    assert report["faults"] > 60
    assert report["crashes"] > 0
