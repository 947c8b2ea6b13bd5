"""The operator's command on moto as a person starts it, for the verbs that need no function of the stack."""

import json
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from cli import main as command
from cli.stack import Stack
from tests.functional.conftest import ACCOUNT, Stage


@dataclass
class Desk:
    """A stage with a stack on it, as the command sees both."""

    stage: Stage
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def run(self, *words: str, columns: int = 80, stdin: str = "") -> Result:
        """Run it; no exception may come out but those that `main` turns into a sentence."""
        runner = CliRunner(mix_stderr=False)
        return runner.invoke(
            command.guardrail, words, standalone_mode=False, env={"COLUMNS": str(columns)}, input=stdin
        )

    def said(self, *words: str) -> dict[str, Any]:
        """Its JSON object; it must be one and alone."""
        result = self.run(*words, "--json")
        assert result.exception is None, result.exception
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    def main(self, *words: str) -> tuple[Any, str, str]:
        """Exit code, stdout and stderr of the command as it is installed."""
        self.capture.readouterr()
        self.patch.setattr("sys.argv", ["guardrail", *words])
        with pytest.raises(SystemExit) as left:
            command.main()
        streams = self.capture.readouterr()
        assert "Traceback" not in streams.out + streams.err
        return left.value.code, streams.out, streams.err

    def refusal(self, *words: str) -> str:
        """The one sentence it refuses with, on stderr, nothing else being said."""
        code, out, err = self.main(*words)
        assert (code, out) == (3, ""), (code, out, err)
        assert err.startswith("guardrail: ")
        assert err.count("\n") == 1
        return err.removeprefix("guardrail: ").rstrip("\n")


def as_deployed(stage: Stage, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> Desk:
    """A deployed stack; moto's CloudFormation wants more than is installed."""
    patch.setattr(boto3, "DEFAULT_SESSION", None)
    patch.setattr(Stack, "exists", True)
    patch.setattr(Stack, "outputs", {})
    patch.setattr(Stack, "physical", lambda _self, _kind: [])
    patch.setattr(Stack, "guard", stage.guard)
    patch.setattr(Stack, "settings", stage.guard.settings)
    return Desk(stage, patch, capture)


ARN = "arn:aws:s3:::"
OWNER = {"ExpectedBucketOwner": ACCOUNT}
