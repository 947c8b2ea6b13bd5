"""`guardrail selectors` on moto's CloudTrail: what it writes, what it keeps, and when it would rather not."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cli import main as command
from cli.selectors import LIMIT
from cli.stack import Stack
from handlers import sweep
from shared.selectors import logs_deletes_of, logs_management_writes
from tests.functional.conftest import ACCOUNT, Stage
from tests.functional.test_cli import run
from tests.functional.test_handlers import TICK
from tests.functional.trails import (
    DEFAULT,
    Scene,
    advanced,
    conditions,
    crowd,
    refusal,
    rendered,
    said,
    staged_trail,
    values,
)

MANAGEMENT = {"Name": "mine", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}
TITLE = "Deletes on enrolled buckets (mfa-delete-guardrail, us-east-1)"
PERSONS = {
    "Name": "all puts",
    "FieldSelectors": [
        {"Field": "eventCategory", "Equals": ["Data"]},
        {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        {"Field": "eventName", "Equals": ["PutObject"]},
    ],
}


@pytest.fixture
def scene(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A deployed stack without a trail of its own, and a trail `main` with the basic selector of a new one."""
    return staged_trail(stage, monkeypatch)


def test_a_dry_run_is_the_default_shows_the_selector_and_writes_nothing(scene: Scene) -> None:
    scene.stage.bucket("vault")
    for words in ([], ["--dry-run"]):
        result = run("selectors", "--trail", "main", *words)
        assert result.return_value == 1
        assert "added: vault" in result.stdout
        assert "$0.10 per 100,000 deletes" in result.stdout
        shown = json.loads(result.stdout[result.stdout.index("{") :])
        assert values(shown, "resources.ARN")["StartsWith"] == ["arn:aws:s3:::vault/"]
    assert scene.written() == 0
    assert scene.now()["EventSelectors"] == DEFAULT


def test_written_it_logs_the_deletes_of_exactly_the_enrolled_buckets_and_management_events_still(scene: Scene) -> None:
    for name in ("vault", "archive"):
        scene.stage.bucket(name)
    scene.stage.bucket("plain", tagged=False)
    scene.stage.bucket("vault-more", tagged=False)
    result = run("selectors", "--trail", "main", "--write")
    assert (result.exception, result.return_value) == (None, 0)
    assert "added: archive\nadded: vault\n" in result.stdout
    assert "$0.10 per 100,000 deletes" in result.stdout
    now = scene.now()
    assert now["EventSelectors"] == []
    assert logs_management_writes(now)
    assert [name for name in ("vault", "archive", "plain", "vault-more") if logs_deletes_of(name, now)] == [
        "vault",
        "archive",
    ]
    mine = now["AdvancedEventSelectors"][-1]
    assert mine["Name"] == TITLE
    assert values(mine, "eventName") == {"Equals": ["DeleteObject", "DeleteObjects"]}
    assert values(mine, "readOnly") == {"Equals": ["false"]}
    assert values(mine, "resources.ARN") == {
        "StartsWith": ["arn:aws:s3:::archive/", "arn:aws:s3:::vault/"],
        "NotStartsWith": ["arn:aws:s3:::trail-logs/"],
    }


def test_nothing_is_written_when_nothing_changes(scene: Scene) -> None:
    scene.stage.bucket("vault")
    assert said("--trail", "main", "--write")["written"] is True
    again = run("selectors", "--trail", "main", "--write")
    assert again.return_value == 0
    assert again.stdout.startswith("nothing to do: trail main logs the deletes on 1 bucket(s) already")
    assert run("selectors", "--trail", "main").return_value == 0
    assert scene.written() == 1


def test_the_order_in_which_cloudtrail_lists_values_is_no_change(scene: Scene) -> None:
    for name in ("vault", "archive"):
        scene.stage.bucket(name)
    selectors = said("--trail", "main", "--write")["selectors"]
    for each in selectors[-1]["FieldSelectors"]:
        for listed in each.values():
            listed.reverse() if isinstance(listed, list) else None
    selectors[-1]["FieldSelectors"].reverse()
    advanced(scene, *selectors)
    assert said("--trail", "main")["changes"] is False


def test_a_bucket_less_and_one_more_are_named_and_only_our_selector_is_replaced(scene: Scene) -> None:
    advanced(scene, MANAGEMENT, PERSONS)
    scene.stage.bucket("old")
    run("selectors", "--trail", "main", "--write")
    scene.stage.s3.delete_bucket_tagging(Bucket="old")
    scene.stage.bucket("new")
    shown = run("selectors", "--trail", "main", "--write").stdout
    assert "before: deletes on 1 bucket(s)\nadded: new\nremoved: old\nafter: deletes on 1 bucket(s)" in shown
    listed = scene.now()["AdvancedEventSelectors"]
    assert listed[:2] == [MANAGEMENT, PERSONS]
    assert [each["Name"] for each in listed] == ["mine", "all puts", TITLE]
    assert not logs_deletes_of("old", scene.now())


def test_another_stack_has_a_selector_of_its_own_on_the_same_trail(scene: Scene) -> None:
    other = {**PERSONS, "Name": TITLE.replace("us-east-1", "eu-west-1")}
    advanced(scene, MANAGEMENT, other)
    scene.stage.bucket("vault")
    run("selectors", "--trail", "main", "--write")
    assert other in scene.now()["AdvancedEventSelectors"]


def test_the_log_bucket_is_never_listed_even_if_it_is_enrolled(scene: Scene) -> None:
    scene.stage.s3.put_bucket_tagging(
        Bucket="trail-logs", Tagging={"TagSet": [{"Key": "mfa-delete", "Value": "required"}]}
    )
    alone = said("--trail", "main", "--write")
    assert (alone["buckets"], alone["written"], scene.written()) == ([], False, 0)
    scene.stage.bucket("vault")
    document = said("--trail", "main", "--write")
    assert document["buckets"] == ["vault"]
    assert any("trail-logs is left out" in note for note in document["notes"])
    assert not logs_deletes_of("trail-logs", scene.now())


def test_without_enrolled_buckets_it_says_so_and_does_nothing(scene: Scene) -> None:
    for words in (["--write"], ["--dry-run"], ["--write", "--trail", "missing"]):
        result = run("selectors", *words)
        assert (result.exception, result.return_value) == (None, 0)
        assert result.stdout.startswith("no bucket is enrolled")
    assert said("--trail", "main", "--write") | {"notes": []} == {
        "buckets": [], "added": [], "removed": [], "changes": False, "written": False, "notes": [],
    }  # fmt: skip
    assert scene.written() == 0


def test_the_canary_bucket_is_logged_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.stage.bucket("vault")
    assert said("--trail", "main")["buckets"] == ["vault"]
    monkeypatch.setattr(Stack, "settings", replace(scene.stage.guard.settings, canary_bucket="canary"))
    assert said("--trail", "main")["buckets"] == ["canary", "vault"]


def test_a_bucket_that_lost_its_tag_stays_logged_while_it_is_judged(scene: Scene) -> None:
    scene.stage.bucket("vault")
    scene.stage.invoke(sweep.handler, TICK)
    scene.stage.s3.delete_bucket_tagging(Bucket="vault")
    assert said("--trail", "main")["buckets"] == ["vault"]


def data(kind: str, *listed: str, how: str = "All") -> dict[str, Any]:
    """A basic selector for data events alone."""
    resources = [{"Type": kind, "Values": list(listed)}]
    return {"ReadWriteType": how, "IncludeManagementEvents": False, "DataResources": resources}


MANAGING = {"eventCategory": {"Equals": ["Management"]}}
OBJECTS = {"eventCategory": {"Equals": ["Data"]}, "resources.type": {"Equals": ["AWS::S3::Object"]}}
FUNCTIONS = {**OBJECTS, "resources.type": {"Equals": ["AWS::Lambda::Function"]}}
TABLES = {**OBJECTS, "resources.type": {"Equals": ["AWS::DynamoDB::Table"]}}
READS, WRITES = {"readOnly": {"Equals": ["true"]}}, {"readOnly": {"Equals": ["false"]}}
SOURCES = ["kms.amazonaws.com", "rdsdata.amazonaws.com"]
KEYS = ["arn:aws:s3:::a/", "arn:aws:s3:::b/keys/2026:"]
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"

BASIC: list[tuple[dict[str, Any], list[dict[str, dict[str, list[str]]]]]] = [
    ({}, [MANAGING]),
    ({"ReadWriteType": "WriteOnly"}, [MANAGING | WRITES]),
    (
        {"ReadWriteType": "ReadOnly", "ExcludeManagementEventSources": SOURCES},
        [MANAGING | READS | {"eventSource": {"NotEquals": SOURCES}}],
    ),
    ({"IncludeManagementEvents": False}, []),
    (data("AWS::S3::Object", *KEYS, how="WriteOnly"), [OBJECTS | WRITES | {"resources.ARN": {"StartsWith": KEYS}}]),
    (data("AWS::S3::Object", "arn:aws:s3:::", how="ReadOnly"), [OBJECTS | READS]),
    (data("AWS::S3::Object", "arn:aws:s3:::c/", "arn:aws:s3"), [OBJECTS]),
    (data("AWS::Lambda::Function", FUNCTION), [FUNCTIONS | {"resources.ARN": {"Equals": [FUNCTION]}}]),
    (data("AWS::Lambda::Function", "arn:aws:lambda"), [FUNCTIONS]),
    (data("AWS::DynamoDB::Table", "arn:aws:dynamodb"), [TABLES]),
    (
        data("AWS::S3::Object", *KEYS) | {"IncludeManagementEvents": True},
        [MANAGING, OBJECTS | {"resources.ARN": {"StartsWith": KEYS}}],
    ),
]


def test_basic_selectors_become_advanced_ones_that_log_the_same(scene: Scene) -> None:
    scene.stage.bucket("vault")
    for row, equivalent in BASIC:
        scene.cloudtrail.put_event_selectors(TrailName="main", EventSelectors=[{"ReadWriteType": "All"}, row])
        document = said("--trail", "main")
        assert document["notes"][0].startswith("2 basic selector(s) become advanced ones")
        first, *others, mine = document["selectors"]
        assert conditions(first) == {"eventCategory": {"Equals": ["Management"]}}
        assert [conditions(each) for each in others] == equivalent
        assert mine["Name"] == TITLE
        names = [each["Name"] for each in document["selectors"]]
        assert len(set(names)) == len(names)


UNSURE: list[tuple[dict[str, Any], str]] = [
    ({"ExcludeManagementEventSources": ["sts.amazonaws.com"]}, "it excludes management events of sts"),
    ({"ReadWriteType": "Some"}, "its ReadWriteType is Some"),
    (data("AWS::S3::Object", "arn:aws:s3:::vault"), "data events of AWS::S3::Object arn:aws:s3:::vault"),
    (data("AWS::S3::Object"), "without naming any"),
    (data("AWS::Lambda::Function"), "without naming any"),
    (data("AWS::DynamoDB::Table", "arn:aws:dynamodb:r:1:table/t"), "table/t"),
    (data("AWS::SNS::Topic", "arn:aws:sns"), "AWS::SNS::Topic arn:aws:sns"),
]


def test_what_has_no_sure_equivalent_is_refused_and_left_alone(scene: Scene) -> None:
    scene.stage.bucket("vault")
    for row, why in UNSURE:
        scene.cloudtrail.put_event_selectors(TrailName="main", EventSelectors=[*DEFAULT, row])
        sentence = refusal("--trail", "main", "--write")
        assert sentence.startswith("basic selector 2 of the trail cannot be written as an advanced one")
        assert why in sentence
        assert scene.now()["EventSelectors"] == [*DEFAULT, row]
    assert scene.written() == 0


def test_a_trail_that_answers_with_no_selector_is_not_guessed_at(scene: Scene) -> None:
    scene.stage.bucket("vault")
    scene.cloudtrail.create_trail(Name="empty", S3BucketName="trail-logs")
    assert "what it logs is unknown" in refusal("--trail", "empty", "--write")
    assert scene.written() == 0


def test_500_values_are_written_and_one_more_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    advanced(scene, MANAGEMENT, PERSONS)
    most = LIMIT - 1 - 3 - 6  # what is kept has 1 and 3 values, ours 6 besides the buckets
    crowd(monkeypatch, scene, most + 1)
    sentence = refusal("--trail", "main", "--write")
    assert "would have 501 values" in sentence
    assert "Trail=deletes and TrailBuckets empty" in sentence
    assert "prefix" in sentence
    assert scene.written() == 0
    crowd(monkeypatch, scene, most)
    assert said("--trail", "main", "--write")["values"] == LIMIT
    assert scene.now()["AdvancedEventSelectors"][:2] == [MANAGEMENT, PERSONS]


def test_a_missing_trail_and_none_at_all_are_one_sentence_each(scene: Scene) -> None:
    scene.stage.bucket("vault")
    assert refusal("--trail", "mian") == (
        "no trail mian logs in us-east-1; aws cloudtrail describe-trails --region us-east-1 lists those that do"
    )
    assert "give --trail NAME, or sam deploy with Trail=deletes" in refusal()
    scene.own.append("deleted-by-hand")
    assert "no trail deleted-by-hand logs in us-east-1" in refusal("--write")


def test_a_trail_of_another_account_is_not_touched(scene: Scene) -> None:
    scene.stage.bucket("vault")
    scene.owner = "999988887777"
    for name in ("main", f"arn:aws:cloudtrail:us-east-1:{scene.owner}:trail/any"):
        sentence = refusal("--trail", name, "--write")
        assert f"{name} belongs to account 999988887777 (an organization's trail?)" in sentence
    assert {call for call, _ in scene.calls} == {"DescribeTrails"}


def test_of_two_trails_of_a_name_this_account_s_is_meant(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.stage.bucket("vault")
    real = Scene.watch

    def watch(self: Scene, client: Any) -> Any:
        def after(parsed: dict[str, Any], **_: Any) -> None:
            [ours] = parsed["trailList"]
            parsed["trailList"].insert(0, ours | {"TrailARN": ours["TrailARN"].replace(ACCOUNT, "999988887777")})

        client.meta.events.register("after-call.cloudtrail.DescribeTrails", after)
        return real(self, client)

    monkeypatch.setattr(Scene, "watch", watch)
    assert said("--trail", "main")["trail_arn"] == f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"


def test_a_trail_whose_home_is_elsewhere_is_read_and_written_there(scene: Scene) -> None:
    scene.stage.bucket("vault")
    scene.trail("wide", region="eu-west-1", IsMultiRegionTrail=True)
    document = said("--trail", "wide", "--write")
    assert document["home_region"] == "eu-west-1"
    assert (
        "the home of trail wide is eu-west-1: it is changed there, the only place where it can be" in document["notes"]
    )
    assert logs_deletes_of("vault", scene.now("wide", "eu-west-1"))
    assert ("PutEventSelectors", "eu-west-1") in scene.calls
    scene.trail("narrow", region="eu-west-1")
    assert "no trail narrow logs in us-east-1" in refusal("--trail", "narrow")
    arn = f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:trail/narrow"
    assert f"no trail {arn} logs in us-east-1" in refusal("--trail", arn)


@pytest.fixture
def own(scene: Scene) -> Callable[..., None]:
    """Make `main` the trail that template.yaml deploys with these parameters."""

    def make(**parameters: str) -> None:
        scene.own[:] = ["main"]
        advanced(scene, *rendered(**parameters))

    return make


def test_on_the_stack_s_own_trail_the_template_s_selector_is_replaced(scene: Scene, own: Callable[..., None]) -> None:
    own(Trail="all")
    scene.stage.bucket("vault")
    shown = run("selectors", "--write").stdout
    assert "before: our selector named no bucket, so it logged every one\nadded: vault\n" in shown
    now = scene.now()
    assert len(now["AdvancedEventSelectors"]) == 2
    assert logs_management_writes(now)
    assert logs_deletes_of("vault", now)
    assert not logs_deletes_of("plain", now)


def test_the_parameter_it_prints_deploys_the_same(scene: Scene, own: Callable[..., None]) -> None:
    own(Trail="all")
    for name in ("vault", "archive"):
        scene.stage.bucket(name)
    document = said("--write")
    assert document["parameter"] == "TrailBuckets=archive,vault"
    assert document["notes"] == [
        "the next sam deploy with another TrailBuckets writes its own selectors again; the same as here is "
        "TrailBuckets=archive,vault"
    ]
    name, _, listed = document["parameter"].partition("=")
    own(Trail="all", **{name: listed})
    assert said()["changes"] is False


def test_another_s_trail_needs_no_word_about_the_parameter(scene: Scene) -> None:
    scene.stage.bucket("vault")
    document = said("--trail", "main")
    assert document["parameter"] is None
    assert not any("TrailBuckets" in note for note in document["notes"])


def test_more_names_than_the_parameter_holds_are_not_printed_as_one(
    scene: Scene, own: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    own(Trail="deletes")
    crowd(monkeypatch, scene, 201)
    document = said()
    assert document["parameter"] is None
    assert "cannot hold so many names: leave it as it is" in document["notes"][0]
    crowd(monkeypatch, scene, 200)
    assert said()["parameter"]


def test_a_condition_somebody_changed_in_our_selector_is_put_right(scene: Scene) -> None:
    scene.stage.bucket("vault")
    run("selectors", "--trail", "main", "--write")
    selectors = scene.now()["AdvancedEventSelectors"]
    [names] = [each for each in selectors[-1]["FieldSelectors"] if each["Field"] == "eventName"]
    names["Equals"] = ["DeleteObjects"]
    advanced(scene, *selectors)
    shown = run("selectors", "--trail", "main", "--write").stdout
    assert "before: deletes on 1 bucket(s), under other conditions" in shown
    assert logs_deletes_of("vault", scene.now())


def test_usage_and_refused_calls_have_their_exit_codes_and_no_traceback(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.stage.bucket("vault")

    def main(*words: str) -> tuple[Any, str, str]:
        monkeypatch.setattr("sys.argv", ["guardrail", "selectors", *words])
        with pytest.raises(SystemExit) as left:
            command.main()
        streams = capsys.readouterr()
        assert "Traceback" not in streams.err
        return left.value.code, streams.out, streams.err

    assert main("--trail", "main", "--dry-run", "--write")[0] == 2
    assert main("--trail", "main")[0] == 1
    assert main("--trail", "mian", "--json")[:2] == (3, "")
    for scene.denied in ("DescribeTrails", "GetEventSelectors", "PutEventSelectors"):
        code, out, err = main("--trail", "main", "--write", "--json")
        assert (code, out) == (3, "")
        assert "AccessDeniedException" in err
        assert scene.denied in err
    scene.denied = ""
    assert main("--trail", "main", "--write")[0] == 0
    assert main("--trail", "main")[0] == 0
