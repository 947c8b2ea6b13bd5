"""`make demo`: deploy to the embedded cloud, live through the story, print its timeline; 0 only if all was seen."""

import statistics
import sys
import time
from pathlib import Path

from rich.console import Console

from local import stack, story
from local.cloud import ROOM, Cloud, CloudError
from local.story import Step, Story

FOLDER = ROOM / "build" / "demo"
IN_A_QUEUE = {4, 5}
"""Steps whose events wait for the batching window on purpose."""


def main() -> int:
    """Run the demo; the exit code is 1 when a step was not seen, 3 when it could not even begin."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        with Cloud.start(batching_window_s=story.BATCHING_WINDOW_S) as cloud:
            lived = play(cloud, console, FOLDER)
    except (CloudError, stack.DeployError) as wrong:
        console.print(f"the demo could not begin: {wrong}", markup=False)
        return 3
    return 0 if all(step.ok for step in lived.steps) else 1


def play(cloud: Cloud, console: Console, folder: Path) -> Story:
    """Deploy, live through the story, print as it goes."""
    began = time.monotonic()
    console.print("sam deploy to the embedded cloud, on 127.0.0.1 only")
    outputs = stack.deploy(cloud)
    console.print(f"deployed after {time.monotonic() - began:.1f} s; time from the API call to the mail:\n")
    lived = Story(cloud, outputs, folder)
    lived.live(lambda step, reason: _tell(console, step, reason))
    _sum_up(console, lived.steps, time.monotonic() - began)
    return lived


def _tell(console: Console, step: Step, reason: str) -> None:
    took = f"{step.call_to_alert_ms:8.0f} ms" if step.call_to_alert_ms is not None else "   no alert"
    mark = "[green]seen[/]" if step.ok else "[red]NOT SEEN[/]"
    console.print(f"{step.step}  {took}  {mark}  {step.title}")
    for subject in step.alerts:
        console.print(f"                     -> {subject}", markup=False)
    if reason:
        console.print(f"                     {reason}", markup=False)


def _sum_up(console: Console, steps: list[Step], took_s: float) -> None:
    waits = [
        step.call_to_alert_ms - (story.BATCHING_WINDOW_S * 1000 if step.step in IN_A_QUEUE else 0)
        for step in steps
        if step.call_to_alert_ms is not None
    ]
    median = f"{statistics.median(waits):.0f} ms" if waits else "unknown"
    console.print(f"\nmedian beyond the batching window of {story.BATCHING_WINDOW_S:g} s (steps 4 and 5): {median}")
    console.print(f"what a person would have received is in build/demo/ ({took_s:.0f} s in all)")


if __name__ == "__main__":
    sys.exit(main())
