"""The floor: imports boto3, makes the clients of calls.json, makes its calls, and does nothing else."""

import json
from contextlib import suppress
from pathlib import Path

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 3, "mode": "standard"})
CALLS = json.loads((Path(__file__).parent / "calls.json").read_text())
CLIENTS = {
    where: boto3.client(where[0], region_name=where[1], config=CONFIG)
    for where in dict.fromkeys((call["service"], call["region"]) for call in CALLS)
}


def handler(event: object, context: object) -> None:
    """Make the calls."""
    for call in CALLS:
        with suppress(ClientError):  # NoSuchLifecycleConfiguration, which is an answer
            getattr(CLIENTS[call["service"], call["region"]], xform_name(call["operation"]))(**call["params"])
