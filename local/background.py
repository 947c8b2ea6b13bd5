"""`python -m local.cloud up|down|env|code|confirm|mail`: an embedded cloud in the background, for a shell."""

import argparse
import shlex
import sys
from pathlib import Path

from local.cloud import ROOM, Cloud, CloudError, aws_variables, end, launch, ready_port
from local.server import HOST

PORT = 4566
FOLDER = ROOM / "build" / "local"


def main() -> int:
    """Exit code 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m local.cloud", description="an embedded cloud in the background")
    parser.add_argument("verb", choices=sorted(_VERBS), help="what to do: mail shows what subscribers got")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--batching-window", type=float, default=1.0, help="seconds queues wait before they deliver")
    options = parser.parse_args()
    try:
        _VERBS[options.verb](options)
    except CloudError as wrong:
        print(wrong, file=sys.stderr)
        return 1
    return 0


def _pid_file(port: int) -> Path:
    return FOLDER / f"{port}.pid"


def _up(options: argparse.Namespace) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    log = FOLDER / f"{options.port}.log"
    arguments = ["--port", str(options.port), "--batching-window", str(options.batching_window)]
    server = launch(arguments, FOLDER, log)
    ready_port(server, log)
    _pid_file(options.port).write_text(f"{server.pid}\n")
    if server.stdout:
        server.stdout.close()
    _env(options)


def _env(options: argparse.Namespace) -> None:
    cloud = _joined(options.port)
    for name, value in aws_variables(cloud.endpoint, cloud.root).items():
        print(f"export {name}={shlex.quote(value)}")
    print("# after these, .venv/bin/aws and .venv/bin/sam talk to the embedded cloud; the key is root's")
    parameters = "AlertEmail=you@example.com DeleteBatchingWindow=1"
    print(
        f"# deploy:            make build && .venv/bin/sam deploy --config-env local --parameter-overrides {parameters}"
    )
    print("# look:              .venv/bin/guardrail --stack guardrail status")
    print(f"# root's MFA device: {cloud.device.serial}")
    print("# a code for it:     .venv/bin/python -m local.cloud code")
    print("# confirm and read:  .venv/bin/python -m local.cloud confirm; .venv/bin/python -m local.cloud mail")
    cloud.stop()


def _code(options: argparse.Namespace) -> None:
    cloud = _joined(options.port)
    print(cloud.next_code())
    cloud.stop()


def _confirm(options: argparse.Namespace) -> None:
    cloud = _joined(options.port)
    print(*cloud.confirm_subscriptions(), sep="\n")
    cloud.stop()


def _mail(options: argparse.Namespace) -> None:
    cloud = _joined(options.port)
    for mail in cloud.mail():
        print(f"To: {mail.to} ({mail.protocol})\nSubject: {mail.subject}\n\n{mail.body}\n")
    cloud.stop()


def _down(options: argparse.Namespace) -> None:
    file = _pid_file(options.port)
    if not file.exists():
        raise CloudError(f"no embedded cloud was started on port {options.port}: {file} is missing")
    pid = int(file.read_text())
    file.unlink()
    command = Path(f"/proc/{pid}/cmdline")
    # The pid may belong to another program by now; without /proc we trust the file.
    if Path("/proc").exists() and (not command.exists() or b"local.server" not in command.read_bytes()):
        raise CloudError(f"the embedded cloud on port {options.port} had already ended")
    end(pid, lambda: not Path(f"/proc/{pid}").exists())
    print(f"stopped the embedded cloud on port {options.port}")


def _joined(port: int) -> Cloud:
    return Cloud(f"http://{HOST}:{port}")


_VERBS = {"up": _up, "down": _down, "env": _env, "code": _code, "confirm": _confirm, "mail": _mail}
