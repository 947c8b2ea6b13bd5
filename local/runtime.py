"""A built function under the real Lambda runtime client, without Docker: AWS's emulator, which samcli carries.

with BuiltFunction.deployed(cloud, "guardrail-SweepFunction-…", BUILD / "SweepFunction") as function:
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
from collections.abc import Mapping
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
    """A handler of a folder that `sam build` made, run as Lambda runs it.

    environment: all the variables of its process, `deployed` gives those that it was deployed with.
    python: the interpreter that has awslambdaric and boto3, as Lambda's own has.
    """

    def __init__(
        self, handler: str, folder: Path, environment: Mapping[str, str], python: str | Path = sys.executable
    ) -> None:
        if not folder.is_dir():
            raise RunError(f"{folder} is missing: run make build")
        self.handler, self._told, self._python = handler, environment, python
        self._task_root = folder.resolve()
        self._port = 0
        self._closing = ExitStack()
        self._emulator: subprocess.Popen[bytes] | None = None
        self._room = Path()

    @classmethod
    def deployed(cls, cloud: Cloud, name: str, folder: Path, python: str | Path = sys.executable) -> Self:
        """With the settings and the role of the deployed function of this name; its environment leads to that cloud."""
        known = cloud.client("lambda").get_function_configuration(FunctionName=name)
        return cls(known["Handler"], folder, deployed_environment(cloud, known), python)

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

    def cpu_s(self) -> float:
        """CPU seconds, user and system, that its Python has taken so far."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/children")
        children = [child for thread in threads for child in thread.read_text().split()]
        ticks = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:13] for child in children]
        return sum(int(each) for pair in ticks for each in pair) / os.sysconf("SC_CLK_TCK")

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
        runtime = [str(self._python), "-m", "awslambdaric", self.handler]
        with (self._room / "log").open("wb") as log:
            return subprocess.Popen(
                [program, *listening, *runtime],
                cwd=self._task_root,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def environment(self) -> dict[str, str]:
        """What Lambda would set beside; nothing of the caller's."""
        return {
            "PATH": os.pathsep.join([str(Path(self._python).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "LAMBDA_TASK_ROOT": str(self._task_root),
            "PYTHONPATH": str(self._task_root),
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            # Not Lambda's: without a home of its own boto3 looks into the caller's, and Python writes into the package.
            "HOME": str(self._room),
            "PYTHONDONTWRITEBYTECODE": "1",
            **self._told,
        }

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


def deployed_environment(cloud: Cloud, known: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a deployed function, where its calls go, and its role's credentials.

    known: its configuration, as Lambda's API has it. Root's own key would not do: it is denied sns:Publish
    (template.yaml).
    """
    role = {"RoleArn": known["Role"], "RoleSessionName": known["FunctionName"]}
    key = cloud.client("sts").assume_role(**role)["Credentials"]
    credentials = Credentials(
        access_key_id=key["AccessKeyId"],
        secret_access_key=key["SecretAccessKey"],
        session_token=key["SessionToken"],
    )
    return {
        "AWS_LAMBDA_FUNCTION_NAME": known["FunctionName"],
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(known["MemorySize"]),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(known["Timeout"]),
        **known.get("Environment", {}).get("Variables", {}),
        **aws_variables(cloud.endpoint, credentials),
    }


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
