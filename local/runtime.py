"""A built function under the real Lambda runtime client, without Docker: AWS's emulator, which samcli carries.

with BuiltFunction(cloud, "guardrail-SweepFunction-…", BUILD / "SweepFunction") as function:
    answer = function.invoke({"sweep": "by hand"})
"""

import http.client
import importlib.util
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local.cloud import POLL_S, ROOM, Cloud, Credentials, aws_variables, end
from local.server import HOST

BUILD = ROOM / ".aws-sam" / "build"
START_LIMIT_S = 10.0
INVOKE_LIMIT_S = 60.0
_INVOKE = "/2015-03-31/functions/function/invocations"
_EMULATORS_OWN = re.compile(r"\(rapid\)|^(START|END|REPORT) RequestId:")
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


class RunError(Exception):
    """The function could not be run, or failed; one sentence, and what it logged last."""


class BuiltFunction:
    """One function of `.aws-sam/build`, run as Lambda runs it: with the settings and the role it was deployed with.

    cloud: where it is deployed; its environment leads there, and only there.
    name: of the deployed function. folder: what `sam build` made for it.
    python: the interpreter that has awslambdaric and boto3, as Lambda's own has.
    """

    def __init__(self, cloud: Cloud, name: str, folder: Path, python: str | Path = sys.executable) -> None:
        if not folder.is_dir():
            raise RunError(f"{folder} is missing: run make build")
        self._deployed = cloud.client("lambda").get_function_configuration(FunctionName=name)
        self._cloud = cloud
        self._task_root = folder.resolve()
        self._python = python
        self._port = 0
        self._closing = ExitStack()
        self._emulator: subprocess.Popen[bytes] | None = None
        self._room = Path()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self._room = Path(tempfile.mkdtemp(prefix="local-runtime-"))
            undo.callback(shutil.rmtree, self._room, ignore_errors=True)
            self._emulator = self._start()
            undo.callback(_stop, self._emulator)
            self._wait_until_it_listens(self._emulator)
            self._closing = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    @property
    def pid(self) -> int:
        """Of the emulator, which ends its Python when it is ended."""
        return self._emulator.pid if self._emulator else 0

    @property
    def log(self) -> str:
        """What emulator and function wrote."""
        return (self._room / "log").read_text(errors="replace")

    def invoke(self, event: Any, limit_s: float = INVOKE_LIMIT_S) -> Any:
        """What the handler answers. Raises RunError when it raises, cannot be imported or takes too long."""
        connection = http.client.HTTPConnection(HOST, self._port, timeout=limit_s)
        try:
            connection.request("POST", _INVOKE, json.dumps(event))
            text = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as wrong:
            raise RunError(f"the function gave no answer within {limit_s:g} s: {wrong}{self._last_words()}") from wrong
        finally:
            connection.close()
        return self._judged(text)

    def _judged(self, text: str) -> Any:
        """The emulator marks a failure by nothing but the shape of the answer."""
        try:
            answer = json.loads(text)
        except ValueError:
            raise RunError(f"{text.strip() or 'the function ended without an answer'}{self._last_words()}") from None
        if isinstance(answer, dict) and "errorType" in answer:
            raise RunError(f"{answer['errorType']}: {answer.get('errorMessage')}{self._last_words()}")
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        program = shutil.copyfile(emulator(platform.machine()), self._room / "aws-lambda-rie")
        program.chmod(0o700)
        self._port, runtime_api = _free_ports()
        # Without the two addresses it listens on all interfaces.
        listening = ["--runtime-interface-emulator-address", f"{HOST}:{self._port}"]
        listening += ["--runtime-api-address", f"{HOST}:{runtime_api}"]
        runtime = [str(self._python), "-m", "awslambdaric", self._deployed["Handler"]]
        with (self._room / "log").open("wb") as log:
            return subprocess.Popen(
                [program, *listening, *runtime],
                cwd=self._task_root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        """What Lambda would set, where the AWS calls go, and the function's own variables; nothing of the caller's."""
        return {
            "PATH": os.pathsep.join([str(Path(self._python).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "LAMBDA_TASK_ROOT": str(self._task_root),
            "PYTHONPATH": str(self._task_root),
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_FUNCTION_NAME": self._deployed["FunctionName"],
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._deployed["MemorySize"]),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self._deployed["Timeout"]),
            # Not Lambda's: without a home of its own boto3 looks into the caller's, and Python writes into the package.
            "HOME": str(self._room),
            "PYTHONDONTWRITEBYTECODE": "1",
            **self._deployed.get("Environment", {}).get("Variables", {}),
            **aws_variables(self._cloud.endpoint, self._role()),
        }

    def _role(self) -> Credentials:
        """Credentials of the function's role, as Lambda hands them over; root is denied sns:Publish (template.yaml)."""
        role = {"RoleArn": self._deployed["Role"], "RoleSessionName": self._deployed["FunctionName"]}
        key = self._cloud.client("sts").assume_role(**role)["Credentials"]
        return Credentials(
            access_key_id=key["AccessKeyId"],
            secret_access_key=key["SecretAccessKey"],
            session_token=key["SessionToken"],
        )

    def _wait_until_it_listens(self, running: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while running.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex((HOST, self._port)) == 0:
                    return
            time.sleep(POLL_S)
        raise RunError(f"the Lambda emulator did not start{self._last_words()}")

    def _last_words(self) -> str:
        words = [line for line in self.log.strip().splitlines() if not _EMULATORS_OWN.search(line)]
        return "\n".join(["; it wrote:", *words[-10:]]) if words else ""


def emulator(machine: str) -> Path:
    """AWS's runtime interface emulator for this machine (`platform.machine()`), out of samcli's package.

    Raises RunError where there is none: it is a Linux program, for two architectures.
    """
    found = importlib.util.find_spec("samcli")
    if found is None or not found.submodule_search_locations:
        raise RunError("aws-sam-cli, which carries the Lambda emulator, is not installed: run make setup")
    folder = Path(found.submodule_search_locations[0]) / "local" / "rapid"
    program = folder / f"aws-lambda-rie-{_ARCHITECTURES.get(machine.lower(), machine)}"
    if not program.is_file() or platform.system() != "Linux":
        raise RunError(f"aws-sam-cli has no Lambda emulator for {platform.system()} on {machine}")
    return program


def _stop(running: subprocess.Popen[bytes]) -> None:
    end(running.pid, lambda: running.poll() is not None)
    running.wait()


def _free_ports() -> tuple[int, int]:
    """Two ports that were free a moment ago; both held at once, so that they differ."""
    with socket.socket() as one, socket.socket() as other:
        one.bind((HOST, 0))
        other.bind((HOST, 0))
        return one.getsockname()[1], other.getsockname()[1]
