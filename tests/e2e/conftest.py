"""The whole of e2e runs in a hostile environment: a stray profile, endpoint or home must never be listened to."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import granted
from local.cloud import Cloud, Credentials
from tests.e2e import again
from tests.e2e.local_setting import ALLOW_ALL, ON

HOSTILE = {
    "AWS_PROFILE": "somebody-elses-production",
    "AWS_ENDPOINT_URL": "https://192.0.2.1",
    "AWS_ENDPOINT_URL_S3": "https://192.0.2.1",
    "AWS_ACCESS_KEY_ID": "AKIAI44QH8DHBEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not-ours",  # pragma: allowlist secret - made up
    "AWS_SESSION_TOKEN": "not-ours",
    "AWS_REGION": "eu-central-1",
    "AWS_CA_BUNDLE": "/nonexistent",
    "SAM_CLI_POLL_DELAY": "60",
}
CONFIG = """[default]
region = eu-central-1
endpoint_url = https://192.0.2.1
[profile somebody-elses-production]
credential_process = false
"""
CALLS = granted.ROOM / "build" / "calls"
WORKER = "PYTEST_XDIST_WORKER"
LONGEST = (
    *("test_deliveries", "test_killed_links", "test_blind", "test_attacks_buckets", "test_attacks_parts"),
    *("test_upgrade", "test_runbook_script_more", "test_operator", "test_doctor", "test_runbook_script", "test_drill"),
    *("test_built_package", "test_runbook_script_errors", "test_heartbeat", "test_attacks_rules"),
)
"""The files that take longest, first: begun last, one of them would run alone in the end."""


def pytest_configure(config: pytest.Config) -> None:
    """A run of all of e2e keeps what roles called, for local.granted; xdist's workers inherit the variable."""
    is_worker = hasattr(config, "workerinput")
    is_narrowed = any(config.getoption(name) for name in ("keyword", "markexpr", "deselect", "ignore", "collectonly"))
    is_all = [(config.invocation_params.dir / each).resolve() for each in config.args] == [Path(__file__).parent]
    if is_all and not (is_worker or is_narrowed or os.environ.get(granted.VARIABLE)):
        if CALLS.exists():
            shutil.rmtree(CALLS)
        os.environ[granted.VARIABLE] = str(CALLS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order of LONGEST, then the others as they come; the tests of a file keep theirs."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session", autouse=True)
def hostile_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Everything that could lead a call to somebody's AWS account."""
    home = tmp_path_factory.mktemp("home")
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text(CONFIG)
    (home / ".aws" / "credentials").write_text("[default]\naws_access_key_id = AKIAI44QH8DHBEXAMPLE\n")
    whole_run = tmp_path_factory.getbasetemp() if WORKER not in os.environ else tmp_path_factory.getbasetemp().parent
    uploaded = whole_run / "uploaded"
    uploaded.mkdir(exist_ok=True)
    wanted = HOSTILE | {"HOME": str(home), again.FOLDER: str(uploaded)}
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in wanted.items():
            patch.setenv(name, value)
        yield home


@pytest.fixture(scope="module")
def counted(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where a module says UNCOUNTED, roles lose permissions, or are assumed, on purpose.

    What they call there says nothing of what the template grants.
    """
    with pytest.MonkeyPatch.context() as patch:
        if getattr(request.module, "UNCOUNTED", False):
            patch.delenv("GUARDRAIL_CALLS", raising=False)
        yield


@pytest.fixture(scope="module")
def cloud(counted: None) -> Iterator[Cloud]:  # it must end after the cloud
    """An embedded cloud of this module's own."""
    with Cloud.start() as started:
        yield started


@pytest.fixture(scope="module")
def outputs(cloud: Cloud) -> dict[str, str]:
    """The stack, deployed there, with its subscriptions confirmed."""
    return again.deploy(cloud)


@pytest.fixture(scope="module")
def admin(cloud: Cloud) -> Credentials:
    """A user who may do everything IAM can allow."""
    return cloud.create_user("admin", ALLOW_ALL)


@pytest.fixture
def bucket(cloud: Cloud, request: pytest.FixtureRequest) -> str:
    """A bucket of this test's own."""
    name = f"bucket-{abs(hash(request.node.name)):x}"
    cloud.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def protected(cloud: Cloud, bucket: str) -> str:
    """The same, with MFA delete on."""
    cloud.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration=ON, MFA=cloud.mfa())
    return bucket
