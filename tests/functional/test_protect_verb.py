"""`guardrail protect`: enrols buckets without losing a tag, and without fighting the tool that owns them."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cli import tagging
from cli.tagging import MOST, tool_of
from tests.functional.commands import Desk, as_deployed
from tests.functional.conftest import ACCOUNT, Stage
from tests.functional.test_handlers import protected
from tests.functional.test_runbook_verb import RULE

OURS = {"mfa-delete": "required"}
CFN = {"aws:cloudformation:stack-name": "data", "aws:cloudformation:logical-id": "Vault"}


@pytest.fixture
def desk(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A deployed stack."""
    return as_deployed(stage, monkeypatch, capsys)


def put(desk: Desk, name: str, tags: dict[str, str]) -> None:
    """Give a bucket exactly these tags."""
    listed: Any = [{"Key": key, "Value": value} for key, value in tags.items()]
    desk.stage.s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": listed})


def tags_of(desk: Desk, name: str = "vault") -> dict[str, str]:
    """A bucket's tags."""
    return {each["Key"]: each["Value"] for each in desk.stage.s3.get_bucket_tagging(Bucket=name)["TagSet"]}


def owned(desk: Desk, tags: dict[str, str]) -> None:
    """Let S3 show system tags, which moto lets nobody write, and refuse a set without them, which moto takes."""

    def added(parsed: dict[str, Any], **_: Any) -> None:
        parsed["TagSet"] += [{"Key": key, "Value": value} for key, value in tags.items()]

    def refused(params: dict[str, Any], **_: Any) -> None:
        if not tags.items() <= {each["Key"]: each["Value"] for each in params["Tagging"]["TagSet"]}.items():
            said = "System Tags cannot be removed by requester"
            raise ClientError({"Error": {"Code": "InvalidTag", "Message": said}}, "PutBucketTagging")

    watch = desk.watch

    def watched(client: Any) -> Any:
        client.meta.events.register("after-call.s3.GetBucketTagging", added)
        client.meta.events.register("before-parameter-build.s3.PutBucketTagging", refused)
        return watch(client)

    desk.patch.setattr(desk, "watch", watched)


def only(desk: Desk, *words: str) -> dict[str, Any]:
    """What became of the one bucket."""
    [row] = desk.said("protect", *words)["buckets"]
    found: dict[str, Any] = row
    return found


def test_the_tag_is_added_and_no_other_is_lost(desk: Desk) -> None:
    desk.stage.bucket("vault", tagged=False)
    put(desk, "vault", {"team": "data", "cost": "42"})
    result = desk.run("protect", "vault")
    assert result.return_value == 0
    assert tags_of(desk) == {"team": "data", "cost": "42", **OURS}
    assert result.stdout.startswith("tagged          vault\n")
    assert all(each["ExpectedBucketOwner"] == ACCOUNT for each in desk.asked("GetBucketTagging", "PutBucketTagging"))
    desk.stage.bucket("bare", tagged=False)
    assert only(desk, "bare")["done"] == "tagged"
    assert tags_of(desk, "bare") == OURS


def test_what_carries_it_already_is_not_written(desk: Desk) -> None:
    desk.stage.bucket("vault")
    assert only(desk, "vault")["done"] == "already tagged"
    assert desk.asked("PutBucketTagging", "TagResource") == []


def test_a_dry_run_writes_nothing(desk: Desk) -> None:
    desk.stage.bucket("vault", tagged=False)
    put(desk, "vault", {"team": "data"})
    result = desk.run("protect", "vault", "--dry-run")
    assert (result.return_value, "would be tagged vault" in result.stdout) == (0, True)
    assert tags_of(desk) == {"team": "data"}


def test_beside_system_tags_the_tag_is_added_singly_since_a_set_without_them_is_refused(desk: Desk) -> None:
    desk.stage.bucket("vault", tagged=False)
    put(desk, "vault", {"team": "data"})
    owned(desk, CFN)
    # moto's TagResource is not seen by its GetBucketTagging
    desk.meanwhile["TagResource"] = lambda: put(desk, "vault", {"team": "data", **OURS})
    assert only(desk, "vault", "--force")["done"] == "tagged"
    assert desk.asked("PutBucketTagging") == []
    [asked] = desk.asked("TagResource")
    assert asked["Tags"] == [{"Key": "mfa-delete", "Value": "required"}]
    desk.errors["TagResource", "arn:aws:s3:::vault"] = "AccessDenied"
    put(desk, "vault", {"team": "data"})
    assert only(desk, "vault", "--force")["why"].startswith("s3:TagResource is refused")


def test_a_bucket_that_takes_single_tags_only_gets_a_single_one(desk: Desk) -> None:
    desk.stage.bucket("vault", tagged=False)
    desk.errors["PutBucketTagging", "vault"] = "MethodNotAllowed"
    # moto's TagResource is not seen by its GetBucketTagging
    desk.meanwhile["TagResource"] = lambda: put(desk, "vault", OURS)
    assert only(desk, "vault")["done"] == "tagged"
    [asked] = desk.asked("TagResource")
    assert asked == {
        "AccountId": ACCOUNT,
        "ResourceArn": "arn:aws:s3:::vault",
        "Tags": [{"Key": "mfa-delete", "Value": "required"}],
    }


def test_a_stack_s_bucket_is_left_to_its_template(desk: Desk) -> None:
    desk.stage.bucket("vault", tagged=False)
    put(desk, "vault", {"team": "data"})
    owned(desk, CFN)
    result = desk.run("protect", "vault")
    assert result.return_value == 1
    assert desk.asked("PutBucketTagging") == []
    assert "# stack data, resource Vault, under Properties" in result.stdout
    assert 'Tags:\n  - Key: "mfa-delete"\n    Value: "required"\n' in result.stdout


def test_terraform_s_bucket_is_left_to_its_code_unless_forced(desk: Desk) -> None:
    desk.stage.bucket("vault", tagged=False)
    put(desk, "vault", {"ManagedBy": "Terraform"})
    result = desk.run("protect", "vault")
    assert result.return_value == 1
    assert tags_of(desk) == {"ManagedBy": "Terraform"}
    assert 'tags = {\n  "mfa-delete" = "required"\n}' in result.stdout
    forced = desk.run("protect", "vault", "--force")
    assert forced.return_value == 0
    assert tags_of(desk) == {"ManagedBy": "Terraform", **OURS}
    assert "takes ours away again unless it is put there too" in forced.stdout.replace("\n", " ")


TERRAFORMED = [
    {"terraform": "true"}, {"Terraform": ""}, {"terraform-workspace": "prod"}, {"managed_by": "TERRAFORM"},
    {"managed-by": "terraform cloud"}, {"IaC": "OpenTofu"}, {"provisioner": "terragrunt"},
]  # fmt: skip
BY_HAND = [{}, {"terraform": "false"}, {"ManagedBy": "hand"}, {"team": "terraform"}, {"note": "managed by terraform"}]


def test_what_is_terraform_s_is_known_by_the_tags_people_use() -> None:
    assert [tool_of(tags) for tags in TERRAFORMED] == ["Terraform"] * len(TERRAFORMED)
    assert [tool_of(tags) for tags in BY_HAND] == [""] * len(BY_HAND)


def test_lifecycle_rules_in_the_way_are_shown_and_disabled_ones_too(desk: Desk) -> None:
    desk.stage.bucket("vault", tagged=False)
    desk.stage.s3.put_bucket_lifecycle_configuration(Bucket="vault", LifecycleConfiguration=RULE)
    shown = desk.run("protect", "vault").stdout.replace("\n", " ")
    assert 'in the way of MFA delete: "tidy"; guardrail runbook vault' in shown
    protected(desk.stage, "good")
    assert only(desk, "good")["lifecycle_rules"] == []
    desk.stage.denied.add(("GetBucketLifecycleConfiguration", "vault"))
    assert only(desk, "vault")["notes"] == [
        "s3:GetLifecycleConfiguration is refused (AccessDenied): what may be in the way is not known"
    ]


def test_the_cost_is_a_sum_only_when_the_number_of_deletes_is_given(desk: Desk) -> None:
    desk.stage.bucket("vault")
    unknown = desk.run("protect", "vault", columns=300).stdout
    assert "costs $0.10 per 100,000, each key of a batch delete counting. How many there are is not known" in unknown
    given = desk.run("protect", "vault", "--deletes-per-month", "25000000").stdout
    assert "Logging 25,000,000 deletes a month (data events) costs $25.00 a month." in given
    assert desk.said("protect", "vault", "--deletes-per-month", "100000")["cost"]["usd_per_month"] == 0.1


def test_each_wrong_bucket_is_one_sentence_and_the_others_are_tagged(desk: Desk) -> None:
    for name in ("vault", "far", "refused", "full"):
        desk.stage.bucket(name, tagged=False)
    desk.regions["far"] = "eu-west-1"
    put(desk, "full", {f"tag-{number}": "x" for number in range(MOST)})
    desk.errors["PutBucketTagging", "refused"] = "AccessDenied"
    names = ["cloud--use1-az4--x-s3", "s3://vault", "far", "refused", "full", "missing", "vault"]
    document = desk.said("protect", *names)
    said = {row["bucket"]: (row["done"], row["why"]) for row in document["buckets"]}
    assert said.pop("vault") == ("tagged", "")
    assert {done for done, _ in said.values()} == {"failed"}
    why = {name: text for name, (_, text) in said.items()}
    assert "a directory bucket" in why["cloud--use1-az4--x-s3"]
    assert "without s3:// or arn:" in why["s3://vault"]
    assert "far lies in eu-west-1" in why["far"]
    assert why["refused"].startswith("s3:PutBucketTagging is refused")
    assert "S3 takes no more" in why["full"]
    assert why["missing"].startswith(f"account {ACCOUNT} has no bucket missing")
    assert all("\n" not in text for text in why.values())
    shown = desk.run("protect", *names, columns=40)
    assert shown.return_value == 1
    assert shown.stdout.startswith("failed ")
    assert max(len(line) for line in shown.stdout.splitlines()) <= 40


def test_tags_that_others_wrote_over_ours_meanwhile_are_noticed(desk: Desk) -> None:
    desk.stage.bucket("vault", tagged=False)
    put(desk, "vault", {"team": "data"})
    [real] = [tagging._write]

    def write(pen: Any, bucket: Any, after: Any) -> None:
        real(pen, bucket, after)
        put(desk, "vault", {"team": "data"})

    desk.patch.setattr(tagging, "_write", write)
    row = only(desk, "vault")
    assert row["done"] == "failed"
    assert row["why"].startswith("read back, its tags lack mfa-delete=required")


def test_what_s3_shows_a_moment_later_is_no_loss(desk: Desk) -> None:
    desk.stage.bucket("vault", tagged=False)
    [real] = [tagging._read]
    answers: list[dict[str, str]] = [{}, {}, {}]

    def read(pen: Any, bucket: Any) -> Any:
        return answers.pop() if answers else real(pen, bucket)

    desk.patch.setattr(tagging, "_read", read)
    assert only(desk, "vault")["done"] == "tagged"


def test_a_tag_that_only_looks_like_it_and_one_of_another_value_are_told_of(desk: Desk) -> None:
    desk.stage.bucket("vault", tagged=False)
    put(desk, "vault", {"MFA-Delete": "Required"})
    assert "which looks alike" in only(desk, "vault")["notes"][0]
    put(desk, "vault", {"mfa-delete": "optional"})
    assert only(desk, "vault")["notes"] == ["mfa-delete was optional"]
    assert tags_of(desk) == OURS


def test_names_come_from_a_file_or_stdin_and_each_counts_once(desk: Desk, tmp_path: Path) -> None:
    for name in ("one", "two"):
        desk.stage.bucket(name, tagged=False)
    listed = tmp_path / "names"
    listed.write_text("# ours\none\n\n  two  \none\n")
    rows = desk.said("protect", "--from-file", str(listed), "--dry-run")["buckets"]
    assert [row["bucket"] for row in rows] == ["one", "two"]
    result = desk.run("protect", "--from-file", "-", "one", "--json", stdin="two\n")
    assert [row["bucket"] for row in json.loads(result.stdout)["buckets"]] == ["one", "two"]
    listed.write_bytes(b"\xff\xfe\x00")
    for words in ([], ["--from-file", str(listed)], ["--from-file", str(tmp_path / "none")]):
        assert desk.main("protect", *words)[0] == 2


def test_four_hundred_buckets_are_tagged_with_a_bar(desk: Desk, tmp_path: Path) -> None:
    names = [f"bucket-{number}" for number in range(400)]
    for name in names:
        desk.stage.s3.create_bucket(Bucket=name)
    (tmp_path / "names").write_text("\n".join(names))
    desk.patch.setattr("sys.stderr.isatty", lambda: True)
    desk.patch.setenv("TTY_COMPATIBLE", "1")
    code, out, err = desk.main("protect", "--from-file", str(tmp_path / "names"))
    assert code == 0
    assert all(tags_of(desk, name) == OURS for name in names)
    assert "tagging buckets" in err
    assert "400 tagged" in out
