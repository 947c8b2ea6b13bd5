"""The stack in the embedded cloud: deployed by the real `sam deploy` from what `sam build` made."""

import json
import subprocess
from pathlib import Path

from local.cloud import ROOM, Cloud

BUILT = ROOM / ".aws-sam" / "build" / "template.yaml"

MAILBOX = "oncall@example.com"
HOOK = "https://alerts.example.com/hook"
PARAMETERS = {
    "AlertEmail": MAILBOX,
    "AlertUrl": HOOK,
    "AccountName": "prod",
    "RootContact": "Ada Example, +1 555 0100",
    "SecurityContact": "security@example.com",
    "DeleteBatchingWindow": "1",
}


class DeployError(Exception):
    """`sam deploy` failed; the text has its last lines."""


def deploy(cloud: Cloud, name: str = "guardrail", **parameters: str) -> dict[str, str]:
    """Deploy and confirm the subscriptions. Returns the stack's outputs."""
    wanted = {**PARAMETERS, **parameters}
    _sam_deploy(cloud, name, "--parameter-overrides", *(f'{key}="{value}"' for key, value in wanted.items()))
    cloud.confirm_subscriptions()
    return outputs(cloud, name)


def update(cloud: Cloud, name: str = "guardrail") -> dict[str, str]:
    """Deploy what is built over a stack that is there, as a person does: the parameters keep their values."""
    _sam_deploy(cloud, name)
    return outputs(cloud, name)


def _sam_deploy(cloud: Cloud, name: str, *further: str) -> None:
    if not BUILT.exists():
        raise DeployError("nothing is built: run make build")
    command = ["sam", "deploy", "--config-env", "local", "--stack-name", name, *further]
    done = subprocess.run(command, cwd=ROOM, env=cloud.environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeployError("\n".join((done.stdout + done.stderr).strip().splitlines()[-25:]))


def outputs(cloud: Cloud, name: str = "guardrail") -> dict[str, str]:
    """The stack's outputs by key."""
    [stack] = cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def sweep(cloud: Cloud, stack: dict[str, str]) -> dict[str, object]:
    """Run the sweep by hand and return what it answers."""
    answer = cloud.client("lambda").invoke(
        FunctionName=stack["SweepFunctionName"], Payload=json.dumps({"sweep": "by hand"}).encode()
    )
    payload: dict[str, object] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise DeployError(f"the sweep failed: {payload}")
    return payload


def write(path: Path, text: str) -> None:
    """Write a file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
