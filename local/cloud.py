"""The handle of demo and tests on the embedded cloud; `python -m local.cloud` for a shell.

with Cloud.start() as cloud:
    cloud.client("s3").create_bucket(Bucket="example-bucket")
"""

import http.client
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import boto3.session
import botocore.session
from botocore.config import Config

from local import granted
from local.server import ACCOUNT, HOST, REGION, ROOT_KEY, root_key

ROOM = Path(__file__).resolve().parent.parent
START_LIMIT_S = 30.0
STOP_LIMIT_S = 3.0
POLL_S = 0.01


class CloudError(Exception):
    """The embedded cloud could not do what was asked; one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An access key; `session_token` is empty for a long-term one."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An MFA device of root; a passkey has no seed."""

    kind: str
    serial: str
    seed: str
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What one subscriber received; `at` is epoch seconds at delivery, `protocol` is also https or email-json."""

    protocol: str
    to: str
    subject: str
    body: str
    topic_arn: str
    at: float
    message_attributes: dict[str, str]


class Cloud:
    """A running embedded cloud. `start` owns the server and stops it; `Cloud(endpoint)` joins one that runs."""

    account = ACCOUNT
    region = REGION
    root = Credentials(access_key_id=ROOT_KEY[0], secret_access_key=ROOT_KEY[1])

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        if address.hostname != HOST or address.port is None:
            raise CloudError(f"{endpoint} is not on {HOST}: the embedded cloud never talks to another machine")
        self.endpoint = endpoint
        self._port = address.port
        self._folder = Path(tempfile.mkdtemp(prefix="local-cloud-"))
        self._server: subprocess.Popen[str] | None = None
        self.codes_given: list[str] = []
        self._clients: dict[tuple[str, Credentials, str], Any] = {}
        self._mails: list[Mail] = []

    @classmethod
    def start(cls, port: int | None = None, batching_window_s: float | None = 1.0, event_delay_s: float = 0.0) -> Self:
        """Start a server of our own and return when it answers.

        port: a free one when None. batching_window_s: replaces the windows of queues, None leaves them as set.
        Raises CloudError when it does not come up.
        """
        options = ["--with-parent", "--port", str(port or 0), "--event-delay", str(event_delay_s)]
        if batching_window_s is not None:
            options += ["--batching-window", str(batching_window_s)]
        folder = Path(tempfile.mkdtemp(prefix="local-cloud-server-"))
        log = folder / "server.log"
        server = launch(options, folder, log)
        try:
            cloud = cls(f"http://{HOST}:{ready_port(server, log)}")
        except CloudError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        cloud._server, cloud._server_folder = server, folder
        return cloud

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    _server_folder: Path | None = None

    @property
    def log(self) -> str:
        """What the server wrote so far; empty for one we did not start."""
        return (self._server_folder / "server.log").read_text() if self._server_folder else ""

    def stop(self) -> None:
        """End the server if we started it, close clients, remove the folders."""
        try:
            self._keep_calls()
        finally:
            self._end()

    def _end(self) -> None:
        for each in self._clients.values():
            each.close()
        self._clients.clear()
        if self._server:
            _end_child(self._server)
            self._server = None
        for folder in (self._folder, self._server_folder):
            if folder:
                shutil.rmtree(folder, ignore_errors=True)

    def _keep_calls(self) -> None:
        """For `local.granted`, while the server still knows them; one that died has nothing left to ask."""
        folder = granted.folder_wanted()
        if folder and self._server and self._server.poll() is None:
            granted.keep(self.calls(), folder)

    # Credentials and clients

    def environment(self, credentials: Credentials | None = None) -> dict[str, str]:
        """A whole environment for a subprocess, made from nothing: no AWS_* variable of the caller survives."""
        home = Path(tempfile.mkdtemp(prefix="home-", dir=self._folder))
        (home / "tmp").mkdir()
        return _bare_environment(home) | aws_variables(self.endpoint, credentials or self.root)

    def client(self, service: str, credentials: Credentials | None = None, region: str | None = None) -> Any:
        """A boto3 client that knows nothing of this machine's AWS configuration; as root when not told otherwise."""
        key = (service, credentials or self.root, region or self.region)
        if key not in self._clients:
            self._clients[key] = _client(self.endpoint, *key)
        return self._clients[key]

    def create_user(self, name: str, policy: dict[str, Any]) -> Credentials:
        """An IAM user with one inline policy, and its access key."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"])

    def root_of(self, account: str) -> Credentials:
        """A key of the root of any account that `local.server` names."""
        key_id, secret = root_key(account)
        return Credentials(access_key_id=key_id, secret_access_key=secret)

    def root_session(self) -> Credentials:
        """Temporary credentials of root, as `aws login` gives."""
        return Credentials(**self._ask("POST", "/_local/root/session"))

    # Root's MFA devices

    @property
    def device(self) -> Device:
        """Root's first device, a virtual one."""
        return self.devices()[0]

    def devices(self) -> list[Device]:
        return [Device(**each) for each in self._ask("GET", "/_local/devices")]

    def add_device(self, kind: str, name: str) -> Device:
        return Device(**self._ask("POST", "/_local/devices", {"kind": kind, "name": name}))

    def remove_device(self, serial: str) -> None:
        self._ask("DELETE", "/_local/devices", {"serial": serial})

    def switch_device(self, serial: str, *, active: bool) -> None:
        self._ask("POST", "/_local/devices/active", {"serial": serial, "active": active})

    def next_code(self, serial: str | None = None) -> str:
        """A code not used yet; runs ahead of the clock when asked faster than one per half minute."""
        code = str(self._ask("POST", "/_local/code", {"serial": serial} if serial else {})["code"])
        self.codes_given.append(code)
        return code

    def mfa(self) -> str:
        """Serial and fresh code, as the `MFA` argument of boto3's S3 calls wants them."""
        return f"{self.device.serial} {self.next_code()}"

    # What happened, and what shall happen

    def mail(self, since: int = 0) -> list[Mail]:
        """All mails, or those after the first `since`; what came before is kept here and not asked for again."""
        self._mails += [Mail(**each) for each in self._ask("GET", "/_local/mail", {"since": len(self._mails)})]
        return self._mails[since:]

    def wait_for_mail(self, predicate: Callable[[Mail], bool], timeout_s: float) -> Mail:
        """The first mail that fits, old ones included. Raises CloudError when none came in time."""
        deadline, seen = time.monotonic() + timeout_s, 0
        while True:
            for each in (fresh := self.mail(seen)):
                if predicate(each):
                    return each
            seen += len(fresh)
            if time.monotonic() > deadline:
                raise CloudError(f"no mail that fits within {timeout_s:g} s; {seen} mails came")
            time.sleep(POLL_S)

    def confirm_subscriptions(self, endpoint: str | None = None) -> list[str]:
        """Confirm all pending subscriptions, or those of one endpoint; their ARNs."""
        return list(self._ask("POST", "/_local/subscriptions/confirm", {"endpoint": endpoint}))

    def calls(self, **wanted: str) -> list[dict[str, Any]]:
        """The log of API calls: at, service, operation, action, resource, principal, status, error, mfa.

        wanted: only those of which these members are so, as in `operation="GetObject"`.
        """
        return list(self._ask("GET", "/_local/calls", wanted))

    def records(self) -> list[dict[str, Any]]:
        """The CloudTrail records made so far, published or still delayed."""
        return list(self._ask("GET", "/_local/records"))

    def faults(self, wanted: list[dict[str, Any]]) -> None:
        """Inject faults (server.py says which); an empty list ends all."""
        self._ask("POST", "/_local/faults", wanted)

    def advance(self, seconds: float) -> float:
        """Move the clock of codes, schedules and metrics forward; due schedules fire, then alarms are evaluated.

        In between it waits for what is underway: with 0 seconds, for all that the calls until now have set going.

        Returns the new epoch seconds.
        """
        return float(self._ask("POST", "/_local/clock", {"advance": seconds})["now"])

    def alarms(self) -> dict[str, str]:
        """Evaluate the alarms of our Region now: the state of each, by name."""
        found = self._ask("POST", "/_local/alarms")
        return {each["name"]: each["state"] for each in found if each["region"] == self.region}

    def reset(self) -> None:
        """Empty everything; the clock and spent codes stay."""
        self._keep_calls()
        self._mails.clear()
        self._ask("POST", "/_local/reset")

    def _ask(self, method: str, path: str, payload: object = None) -> Any:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=30)
        try:
            connection.request(method, path, json.dumps({} if payload is None else payload))
            answer = connection.getresponse()
            value = json.loads(answer.read())
        except OSError as wrong:
            raise CloudError(f"no embedded cloud answers at {self.endpoint}: {wrong}") from wrong
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise CloudError(f"{method} {path}: {value.get('error')}")
        return value


def aws_variables(endpoint: str, credentials: Credentials) -> dict[str, str]:
    """The AWS_* variables that lead every SDK and CLI to the embedded cloud, and only there."""
    token = {"AWS_SESSION_TOKEN": credentials.session_token} if credentials.session_token else {}
    return token | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "SAM_CLI_TELEMETRY": "0",
    }


def launch(options: list[str], folder: Path, log: Path) -> subprocess.Popen[str]:
    """Start the server in a session of its own, so that it and its function workers end together."""
    (folder / "tmp").mkdir(exist_ok=True)
    with log.open("a") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "local.server", *options],
            cwd=ROOM,
            env=_bare_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )


def end(pid: int, has_ended: Callable[[], bool]) -> None:
    """Stop a server started by `launch` and its workers, by process group: asked first, then killed."""
    try:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_LIMIT_S
        while time.monotonic() < deadline and not has_ended():
            time.sleep(POLL_S)
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _end_child(server: subprocess.Popen[str]) -> None:
    end(server.pid, lambda: server.poll() is not None)
    server.wait()
    if server.stdout:
        server.stdout.close()


def _bare_environment(home: Path) -> dict[str, str]:
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def ready_port(server: subprocess.Popen[str], log: Path) -> int:
    """Wait for the server's `ready PORT`; raises CloudError with its last words when it ends instead."""
    output = server.stdout
    if output is None:
        raise CloudError("the server was started without a pipe")
    with selectors.DefaultSelector() as waiting:
        waiting.register(output, selectors.EVENT_READ)
        line = output.readline() if waiting.select(START_LIMIT_S) else ""
    if not line.startswith("ready "):
        _end_child(server)
        last_words = log.read_text().strip().splitlines() or [f"no answer within {START_LIMIT_S:g} s"]
        raise CloudError(f"the embedded cloud did not start: {last_words[-1]}")
    return int(line.split()[1])


@cache
def _session() -> boto3.session.Session:
    """One for all clients, so that what AWS's services look like is read once; it knows no credentials."""
    nothing = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return boto3.session.Session(botocore_session=botocore.session.Session(nothing))


def _client(endpoint: str, service: str, credentials: Credentials, region: str) -> Any:
    # The factory is overloaded on literal service names; here the name is the caller's.
    make: Any = _session().client
    return make(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token or None,
        config=Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=60),
    )


if __name__ == "__main__":
    from local.background import main

    sys.exit(main())
