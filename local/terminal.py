"""Run a command on a real pseudo-terminal and answer its prompts, as a person would."""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

type Answers = Sequence[tuple[str, Callable[[], str]]]


def typed(
    command: Sequence[str], answers: Answers, *, env: Mapping[str, str], cwd: Path, limit_s: float = 60
) -> tuple[int, str]:
    """Run until it ends. Whenever what is on the screen since the last answer matches a pattern, its answer is typed.

    Returns the exit code and all that was on the screen. Raises TimeoutError with the screen when it does not end.
    """
    screen, keyboard = pty.openpty()
    process = subprocess.Popen(
        command, stdin=keyboard, stdout=keyboard, stderr=keyboard, env=dict(env), cwd=cwd, start_new_session=True
    )
    os.close(keyboard)
    try:
        shown = _converse(screen, answers, time.monotonic() + limit_s)
        return process.wait(timeout=5), shown
    except TimeoutError:
        process.kill()
        process.wait()
        raise
    finally:
        os.close(screen)


def _converse(screen: int, answers: Answers, deadline: float) -> str:
    shown, answered = "", 0
    while time.monotonic() < deadline:
        if not select.select([screen], [], [], 0.1)[0]:
            continue
        try:
            chunk = os.read(screen, 4096)
        except OSError:  # the other end is closed: the command has ended
            return shown
        shown += chunk.decode(errors="replace")
        reply = next((answer for pattern, answer in answers if re.search(pattern, shown[answered:])), None)
        if reply:
            answered = len(shown)
            os.write(screen, f"{reply()}\n".encode())
    raise TimeoutError(f"the command did not end; on the screen:\n{shown}")
