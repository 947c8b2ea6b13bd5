"""Every command of a generated runbook, run as it stands: the AWS CLI's way and the script's way."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from local.cloud import ROOM, Cloud
from local.terminal import typed
from shared import runbook
from shared.facts import BucketKey
from shared.settings import ENV_NAMES, from_env
from tests.e2e.local_setting import ALLOW_ALL, EXPIRE, versioning

SETTINGS = dict.fromkeys(ENV_NAMES, "x") | {
    "SECURITY_HUB": "no",
    "PAGE_FROM": "critical",
    "AWS_REGION": "us-east-1",
    "WATCH_VERSION_DELETES": "yes",
    "EXEMPTION_MAX_DAYS": "90",
    "GROUP_WINDOW_MINUTES": "60",
    "GROUP_THRESHOLD": "10",
    "ROOT_KEY_GRACE_MINUTES": "60",
    "HISTORY_DAYS": "400",
    "ACCOUNT_ID": "111122223333",
    "PARTITION": "aws",
}


class Desk:
    """The root holder's machine: an administrator's credentials for the looking, the script, a home of its own."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.env = cloud.environment(cloud.create_user("looker", ALLOW_ALL))
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            del self.env[name]
        self.home = Path(self.env["HOME"])
        self.key: dict[str, str] = {}
        shutil.copy(ROOM / "runbook" / "mfa_delete.py", self.home)

    def paste(self, command: str) -> tuple[int, str]:
        """Paste a block into a terminal and answer what it asks."""
        answers: list[tuple[str, Callable[[], str]]] = [
            (r"\[yes/no\]: ?$", lambda: "no"),
            (r"(?i)code[^\n]*: ?$", self.cloud.next_code),
            (r"ARN or serial number of the device: ?$", lambda: self.cloud.device.serial),
            (r"Access Key ID [^\n]*: ?$", lambda: self.key["AccessKeyId"]),
            (r"Secret Access Key [^\n]*: ?$", lambda: self.key["SecretAccessKey"]),
            (r"region name [^\n]*: ?$", lambda: "us-east-1"),
            (r"output format [^\n]*: ?$", lambda: ""),
        ]
        return typed(["sh", "-c", command], answers, env=self.env, cwd=self.home)


def blocks(page: str) -> dict[str, list[str]]:
    """Heading -> its shell blocks, without the indentation of list items."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^## ", page, flags=re.M)[1:]:
        heading, _, text = part.partition("\n")
        raw = re.findall(r"^( *)```sh\n(.*?)^ *```$", text, re.M | re.S)
        found[heading] = ["".join(line[len(indent) :] for line in code.splitlines(True)) for indent, code in raw]
    return found


@pytest.mark.parametrize("by_script", [True, False], ids=["the script's way", "the AWS CLI's way"])
def test_every_command_works_as_pasted(by_script: bool) -> None:
    with Cloud.start() as cloud:
        desk, s3 = Desk(cloud), cloud.client("s3")
        s3.create_bucket(Bucket="paper-vault")
        s3.put_bucket_lifecycle_configuration(Bucket="paper-vault", LifecycleConfiguration=EXPIRE)
        bucket = BucketKey(account=cloud.account, region=cloud.region, name="paper-vault")
        obstacle = runbook.lifecycle_obstacle(bucket, ("a rule",))
        page = blocks(runbook.filled("turn-mfa-delete-on", bucket, from_env(SETTINGS), obstacle))
        ran = {heading: len(commands) for heading, commands in page.items()}
        assert sum(ran.values()) == 12

        for heading in ("Is this request genuine?", "First: a lifecycle configuration is in the way", "1. The AWS CLI"):
            assert [desk.paste(command)[0] for command in page[heading]] == [0] * ran[heading]
        [saved] = desk.home.glob("lifecycle-paper-vault-*.json")
        kept = json.loads(saved.read_text())
        s3.put_bucket_lifecycle_configuration(Bucket="paper-vault", LifecycleConfiguration=kept)  # it can come back
        s3.delete_bucket_lifecycle(Bucket="paper-vault")
        [find_device] = page["2. A device that shows six-digit codes"]
        assert desk.paste(find_device)[1].strip() == cloud.device.serial

        desk.key = cloud.client("iam").create_access_key()["AccessKey"]
        assert desk.paste(page["4. A profile for it"][0])[0] == 0
        script, cli = page["5. Turn it on"]
        code, screen = desk.paste(script if by_script else cli)
        assert code == 0, screen
        assert versioning(cloud, "paper-vault") == {"Status": "Enabled", "MFADelete": "Enabled"}
        code, screen = desk.paste(page["6. Confirm"][0])
        assert (code, screen.count("Enabled")) == (0, 2)

        prove, remove = page["7. Prove it"]
        assert desk.paste(prove)[0] != 0
        proofs = s3.list_object_versions(Bucket="paper-vault")["Versions"]
        code, screen = desk.paste(prove + remove)
        assert code == 0, screen
        assert "Mfa Authentication must be used for this request" in screen
        assert s3.list_object_versions(Bucket="paper-vault")["Versions"] == proofs, "the second proof is gone"
        assert desk.paste(page["8. Remove the profile"][0])[0] == 0
        assert desk.key["SecretAccessKey"] not in (desk.home / ".aws" / "credentials").read_text()
        cloud.client("iam").delete_access_key(AccessKeyId=desk.key["AccessKeyId"])  # step 9, which is the console's
        assert desk.paste(page["10. Check that none is left"][0]) == (0, "0\r\n")


def test_every_block_of_the_other_sections_is_a_sound_shell_command() -> None:
    bucket = BucketKey(account="111122223333", region="us-east-1", name="paper-vault")
    for heading in runbook.sections():
        page = "## start\n" + runbook.filled(heading, bucket, from_env(SETTINGS), runbook.NO_OBSTACLE)
        commands = [command for found in blocks(page).values() for command in found]
        assert commands, heading
        for command in commands:
            subprocess.run(["sh", "-n", "-c", command], check=True)
