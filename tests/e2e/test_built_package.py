"""The built package alone: what `sam build` left answers its samples under the real Lambda runtime client.

The embedded cloud lends functions its own packages, so it cannot show a missing requirement. Here a function's Python
has what Lambda's has, awslambdaric and boto3, and nothing else.
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from local import clean, invoke, package, runtime, stack
from local.cloud import ROOM, Cloud
from local.runtime import BUILD, BuiltFunction, RunError
from shared import parse, parse_watch
from shared.facts import GUARDRAIL, BadEvent, BucketKey
from tests.e2e import again

HERE = BucketKey(account="111122223333", region="us-east-1", name=GUARDRAIL)
BUCKET = "example-protected-bucket"
SAMPLES = {
    "BucketChangeFunction": ("put-bucket-versioning.root-disables.json", {"mfa-delete-disabled"}),
    "VersionDeleteFunction": ("delete-object.version-denied.json", {"mfa-delete-missing", "version-delete-denied"}),
    "SweepFunction": ("schedule.tick.json", {"mfa-delete-missing"}),
    "HealthFunction": ("stop-logging.done.json", {"guardrail-tampered"}),
    "DrillFunction": ("drill.tick.json", set[str]()),
}
"""An event of events/ for each function, and what it must open on a bucket that nobody has looked at before, or of the
guardrail itself."""
IMPORT_IT = """
import importlib, sys
import aws_lambda_powertools, jmespath, typing_extensions
module, _, function = sys.argv[1].rpartition(".")
handler = importlib.import_module(module)
assert callable(getattr(handler, function))
print(*(each.__file__ for each in (handler, aws_lambda_powertools, jmespath, typing_extensions)), sep="\\n")
"""


# The interpreter


@pytest.fixture(scope="session")
def clean_python() -> Path:
    """A Python with Lambda's own packages only."""
    return clean.python()


def run(python: Path, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """This Python in this folder, with an environment from nothing."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": os.devnull,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run([python, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_clean_python_has_nothing_but_what_lambda_has(clean_python: Path, tmp_path: Path) -> None:
    listing = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    done = run(clean_python, "-c", listing, folder=tmp_path)
    assert sorted(done.stdout.lower().replace("_", "-").split()) == sorted(clean.LAMBDAS_OWN)
    refused = run(clean_python, "-c", "import aws_lambda_powertools", folder=tmp_path)
    assert "No module named 'aws_lambda_powertools'" in refused.stderr


# The package


@pytest.fixture(scope="session")
def handlers() -> dict[str, str]:
    """The handler path of each function, out of the built template."""
    assert stack.BUILT.exists(), "nothing is built: run make build"
    template = importlib.import_module("samcli.yamlhelper").yaml_parse(stack.BUILT.read_text())
    functions = {n: r for n, r in template["Resources"].items() if r["Type"] == "AWS::Serverless::Function"}
    assert {name: function["Properties"]["CodeUri"] for name, function in functions.items()} == {
        n: n for n in functions
    }
    return {name: function["Properties"]["Handler"] for name, function in functions.items()}


def test_every_built_function_has_its_sample_here(handlers: dict[str, str]) -> None:
    assert set(handlers) == set(SAMPLES)


@pytest.mark.parametrize("function", SAMPLES)
def test_a_handler_imports_from_its_own_folder(function: str, handlers: dict[str, str], clean_python: Path) -> None:
    folder = BUILD / function
    done = run(clean_python, "-c", IMPORT_IT, handlers[function], folder=folder)
    assert done.returncode == 0, done.stderr
    assert [path for path in done.stdout.splitlines() if not Path(path).is_relative_to(folder)] == []


@pytest.mark.parametrize("function", SAMPLES)
def test_nothing_unused_is_shipped(function: str) -> None:
    pins = dict(re.findall(r"^([a-z-]+)==(\S+)", (ROOM / "src" / "requirements.txt").read_text(), re.M))
    notes = {f"{name.replace('-', '_')}-{version}.dist-info" for name, version in pins.items()}  # Inspector reads them
    packages = {"aws_lambda_powertools", "jmespath", "typing_extensions.py", "__pycache__"}
    shipped = {path.name for path in (BUILD / function).iterdir()}
    assert shipped == {"handlers", "shared", "requirements.txt"} | packages | notes
    library = BUILD / function / "aws_lambda_powertools"
    assert {path.name for path in library.iterdir() if path.is_dir()} == {
        *("__pycache__", "exceptions", "logging", "metrics", "shared", "tracing", "utilities", "warnings")
    }
    assert {path.name for path in (library / "utilities").iterdir()} == {"__init__.py", "__pycache__", "jmespath_utils"}


@pytest.mark.parametrize("function", SAMPLES)
def test_every_module_is_compiled_and_needs_no_look_at_its_source(function: str) -> None:
    folder = BUILD / function
    for source in folder.rglob("*.py"):
        compiled = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        assert compiled[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(compiled[4:8], "little") == 0b01  # by hash, and unchecked (PEP 552)
        assert str(ROOM).encode() not in compiled


def test_a_second_build_elsewhere_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in ("src", "runbook"):  # src has a link into runbook
        shutil.copytree(ROOM / name, elsewhere / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOM / name, elsewhere)
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONHASHSEED": "5"}
    done = subprocess.run(
        ["sam", "build", "--no-cached"],
        cwd=elsewhere,
        env=os.environ | path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    build = elsewhere / ".aws-sam" / "build"
    monkeypatch.setattr(package, "BUILD", build)
    assert package.main() == 0
    assert len(files(BUILD / "SweepFunction")) > 200
    assert {name: files(build / name) for name in SAMPLES} == {name: files(BUILD / name) for name in SAMPLES}


def files(folder: Path) -> dict[str, bytes]:
    """What is zipped: each file's digest and whether it may be run."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{path.relative_to(folder)} {path.stat().st_mode:o}": sha256(path.read_bytes()).digest() for path in found}


def test_a_library_that_was_arranged_anew_stops_the_build(tmp_path: Path) -> None:
    shutil.copytree(BUILD / "SweepFunction" / package.LIBRARY, tmp_path / package.LIBRARY)
    with pytest.raises(package.PackageError, match=r"has no event_handler, .* any more"):
        list(package.unused(tmp_path / package.LIBRARY))


# Its answers


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One where what a test prepares is no event: the deployed functions must not be faster than the one under test."""
    with Cloud.start(event_delay_s=invoke.NEVER_S) as started:
        yield started


@pytest.fixture(scope="module")
def outputs(cloud: Cloud) -> dict[str, str]:
    """With all functions that there are."""
    return again.deploy(cloud, Drill="yes")


@pytest.fixture(scope="module")
def deployed(cloud: Cloud, outputs: dict[str, str]) -> dict[str, str]:
    """The stack, whose first sweep has seen that somebody listens."""
    stack.sweep(cloud, outputs)
    return outputs


@pytest.fixture
def unseen(cloud: Cloud, deployed: dict[str, str]) -> dict[str, str]:
    """The stack, remembering no bucket."""
    s3, db = cloud.client("s3"), cloud.client("dynamodb")
    if BUCKET in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.delete_bucket(Bucket=BUCKET)
    for item in db.scan(TableName=deployed["TableName"])["Items"]:
        if item["pk"]["S"] != "guardrail":
            db.delete_item(TableName=deployed["TableName"], Key={name: item[name] for name in ("pk", "sk")})
    return deployed


def sample(name: str) -> Any:
    return invoke.at(json.loads((ROOM / "events" / name).read_text()), datetime.now(UTC))


@pytest.mark.parametrize("function", SAMPLES)
def test_a_built_handler_answers_its_sample(
    function: str, cloud: Cloud, unseen: dict[str, str], clean_python: Path
) -> None:
    name, controls = SAMPLES[function]
    event = sample(name)
    invoke.make_bucket(cloud, event)
    before = len(cloud.mail())
    with BuiltFunction.deployed(cloud, unseen[f"{function}Name"], BUILD / function, clean_python) as built:
        answer = built.invoke(invoke.as_batch(event) if function == invoke.QUEUED else event)
    about = GUARDRAIL if function == "HealthFunction" else BUCKET
    assert set(answer["transitions"]) == {f"opened {control} {about}" for control in controls}
    assert (answer["sent"], answer["still_owed"], answer["rejected"]) == (len(controls), 0, [])
    assert answer["batchItemFailures"] == []
    told = [mail for mail in cloud.mail(before) if mail.to == stack.MAILBOX]
    assert {mail.message_attributes["control"] for mail in told} == controls


def test_a_useless_event_of_the_drill_is_set_aside_too(
    cloud: Cloud, deployed: dict[str, str], clean_python: Path
) -> None:
    with BuiltFunction.deployed(cloud, deployed["DrillFunctionName"], BUILD / "DrillFunction", clean_python) as built:
        assert built.invoke({"drill": ""})["rejected"] == [
            'the drill expects {"drill": "scheduled"} or {"drill": "by hand"}'
        ]


@pytest.mark.parametrize("requirement", ["aws_lambda_powertools", "typing_extensions"])
def test_a_missing_requirement_is_seen(
    requirement: str, cloud: Cloud, deployed: dict[str, str], clean_python: Path, tmp_path: Path
) -> None:
    """Not jmespath: boto3 brings it, in Lambda as here."""
    folder = tmp_path / "package"
    shutil.copytree(BUILD / "SweepFunction", folder, ignore=shutil.ignore_patterns(f"{requirement}*"))
    with (
        BuiltFunction.deployed(cloud, deployed["SweepFunctionName"], folder, clean_python) as built,
        pytest.raises(RunError, match=f"ImportModuleError.*No module named '{requirement}'"),
    ):
        built.invoke(sample("schedule.tick.json"))


# The runner


def test_the_runner_leaves_nothing_behind(cloud: Cloud, deployed: dict[str, str]) -> None:
    written_before = sorted((BUILD / "SweepFunction").rglob("*"))
    with BuiltFunction.deployed(cloud, deployed["SweepFunctionName"], BUILD / "SweepFunction") as built:
        assert built.invoke({"sweep": "by hand"})["rejected"] == []
        threads = Path(f"/proc/{built.pid}/task").glob("*/children")
        children = [child for thread in threads for child in thread.read_text().split()]
    assert len(children) == 1
    assert [pid for pid in (built.pid, *children) if Path(f"/proc/{pid}").exists()] == []
    assert sorted((BUILD / "SweepFunction").rglob("*")) == written_before


def test_what_cannot_be_run_is_said_in_one_sentence(cloud: Cloud) -> None:
    with pytest.raises(RunError, match="no Lambda emulator for Linux on riscv64"):
        runtime.emulator("riscv64")
    with pytest.raises(RunError, match="NoFunction is missing: run make build"):
        BuiltFunction("handlers.none.handler", BUILD / "NoFunction", {})


def make_invoke(event: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local.invoke", event]
    return subprocess.run(command, cwd=ROOM, capture_output=True, text=True, timeout=120, check=False)


TAKEN_BY_NO_RULE = {
    *("delete-object.marker-created", "delete-object.plain", "delete-objects.partial-failure"),
    *("object-deleted.marker-created", "object-deleted.unversioned", "tag-resource.access-point"),
}


@pytest.mark.parametrize("file", sorted((ROOM / "events").glob("*.json")), ids=lambda file: file.stem)
def test_every_event_goes_to_the_function_that_parses_it(file: Path) -> None:
    event = json.loads(file.read_text(encoding="utf-8"))
    reads: dict[str, Callable[[Any], Any]] = {
        "SweepFunction": parse.sweep,
        "BucketChangeFunction": parse.bucket_change,
        invoke.QUEUED: parse.version_delete,
        "HealthFunction": lambda told: parse_watch.guardrail_change(told, HERE, datetime.now(UTC)),
        "DrillFunction": parse.drill,
    }
    function = invoke.function_for(event)
    expected = pytest.raises(BadEvent) if file.stem in TAKEN_BY_NO_RULE else contextlib.nullcontext()
    with expected:
        reads[function](event)


@pytest.mark.parametrize("useless", ["no object", {}, {"detail": {}}, {"detail": {"eventName": "PutBucketTagging"}}])
def test_what_names_no_service_goes_to_the_function_that_rejects_it(useless: Any) -> None:
    assert invoke.function_for(useless) == "BucketChangeFunction"


def test_one_event_is_run_for_a_person() -> None:
    done = make_invoke("events/put-bucket-versioning.root-disables.json")
    assert done.returncode == 0, done.stderr
    answer, _, mails = done.stdout.partition("\nmail: ")
    assert json.loads(answer)["transitions"] == [f"opened mfa-delete-disabled {BUCKET}"]
    assert mails == f"[critical] MFA delete turned OFF: {BUCKET} (prod, us-east-1)\n"


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ("", "name one event: make invoke EVENT=events/NAME.json"),
        ("events/put-bucket-nothing.json", "events/put-bucket-nothing.json is not there: choose a file of events/"),
        ("events/README.md", "events/README.md is not JSON"),
    ],
)
def test_a_useless_request_is_refused_in_one_sentence(event: str, sentence: str) -> None:
    done = make_invoke(event)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"invoke: {sentence}")
    assert done.stderr.count("\n") == 1


def test_an_event_that_is_no_json_is_refused_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "schedule.broken.json"
    file.write_text("{")
    done = make_invoke(str(file))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{file} is not JSON" in done.stderr
