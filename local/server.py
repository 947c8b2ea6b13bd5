"""The embedded cloud's own process: `python -m local.server --port 4566`, on 127.0.0.1 only.

Prints `ready PORT` on stdout once it answers. AWS calls go to the same port; tests and demos have these paths (JSON
in and out, no credentials):

    GET    /_local/health                  {account, now}
    POST   /_local/reset                   empty everything (the clock and spent codes stay); the trail "lab" logs again
    GET    /_local/mail                    {since?: count} the outbox: [{protocol, to, subject, body, topic_arn, at, ...}]
    POST   /_local/subscriptions/confirm   {} for all pending ones, or {endpoint}; answers their ARNs
    GET    /_local/calls                   {member?: value} [{at, service, operation, action, resource, principal, status, error, mfa}]
    GET    /_local/records                 the CloudTrail records made so far, also those that no trail logs
    POST   /_local/faults                  [{service, match?, times?, status?, code?, message?, delay?}] replaces all; [] clears
    POST   /_local/clock                   {advance: seconds}: codes, schedules and metrics follow, due schedules fire
    POST   /_local/alarms                  {}: evaluates all alarms; answers [{name, region, state}]
    GET    /_local/devices                 root's MFA devices [{kind, serial, seed, active}]
    POST   /_local/devices                 {kind: virtual|hardware|passkey, name}
    DELETE /_local/devices                 {serial}
    POST   /_local/devices/active          {serial, active}
    POST   /_local/code                    {serial?}: a code not used yet
    POST   /_local/root/session            temporary credentials of root
"""  # noqa: E501  # a table of routes

import argparse
import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress

HOST = "127.0.0.1"
ACCOUNT = "111122223333"
REGION = "us-east-1"
# Example values of the AWS documentation; they open nothing anywhere else.
ROOT_KEY = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
ORGANIZATION = "o-exampleorgid"
# By account, what it is called; empty: an account outside of the organization.
NAMES = {ACCOUNT: "prod", "444455556666": "dev", "777788889999": "lab", "999900001111": ""}


def root_key(account: str) -> tuple[str, str]:
    """A key of an account's root."""
    return ROOT_KEY if account == ACCOUNT else (f"AKIA{account}EXMP", f"not-a-secret/of/{account}")


_FIXED_ENVIRONMENT = {
    "AUTH": "true",
    "BIND_HOST": HOST,
    "MINISTACK_HOST": HOST,
    "MINISTACK_ACCOUNT_ID": ACCOUNT,
    "MINISTACK_REGION": REGION,
    # Both open listeners of their own, the first on all interfaces.
    "IOT_MTLS_ENABLED": "0",
    "SFTP_ENABLED": "0",
    # ministack does not check the signature of its configured root key, so it gets one nobody has (root.py).
    "AWS_ACCESS_KEY_ID": "not-a-key",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",  # pragma: allowlist secret - as it says
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


def main() -> int:
    """Serve until SIGTERM, or until the parent is gone when --with-parent is given."""
    options = _options()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, options.port))
    except OSError:
        print(f"port {options.port} is in use on {HOST}: stop what listens there or choose another", file=sys.stderr)
        return 1
    # Listening from here on: a call that comes before ministack is up waits instead of being refused.
    listener.listen(100)
    _set_environment(listener.getsockname()[1])
    asyncio.run(_serve(listener, options))
    _end_workers()
    return 0


def _end_workers() -> None:
    """Functions' workers outlive ministack; they are in our process group when we lead one."""
    if os.getpgrp() == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(os.getpid(), signal.SIGTERM)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.server", description="the embedded cloud")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--batching-window", type=float, default=None, help="seconds; default: as the mapping says")
    parser.add_argument("--event-delay", type=float, default=0.0, help="lag of CloudTrail records, seconds")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started this one ends")
    return parser.parse_args()


def _set_environment(port: int) -> None:
    """ministack reads the environment at import, and hands it to every function's worker."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "MINISTACK_", "PYTHON")):
            del os.environ[name]
    os.environ.update(_FIXED_ENVIRONMENT, GATEWAY_PORT=str(port))
    os.environ.setdefault("LOG_LEVEL", "WARNING")


async def _serve(listener: socket.socket, options: argparse.Namespace) -> None:
    # Imported here: ministack must not be imported before the environment is set.
    from hypercorn.asyncio import serve  # noqa: PLC0415  # as said above
    from hypercorn.config import Config  # noqa: PLC0415  # as said above

    from local import admin, gateway  # noqa: PLC0415  # as said above

    state = gateway.install(ACCOUNT, REGION, ROOT_KEY, options.batching_window)
    application = gateway.Gateway(state, admin.answer_for(state), options.event_delay)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "WARNING"
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.2
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    watch = asyncio.create_task(_until_parent_ends(stop)) if options.with_parent else None
    print(f"ready {os.environ['GATEWAY_PORT']}", flush=True)
    await serve(application, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
    if watch:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


async def _until_parent_ends(stop: asyncio.Event) -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(0.5)
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
