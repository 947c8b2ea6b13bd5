"""`guardrail status` as a person, a spreadsheet and a pipe read it."""

import csv
import io
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from cli import screen
from cli.main import VERBS
from cli.stack import Stack
from handlers import sweep
from tests.functional.commands import Desk, as_deployed
from tests.functional.conftest import Stage
from tests.functional.test_handlers import TICK, exempt, protected

LONG = "a-bucket-whose-name-is-as-long-as-s3-lets-it-be-and-no-longer12"


@pytest.fixture
def desk(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A deployed stack."""
    return as_deployed(stage, monkeypatch, capsys)


def test_on_forty_columns_buckets_are_stacked_worst_first_and_no_line_is_longer(desk: Desk) -> None:
    protected(desk.stage, "good")
    desk.stage.bucket(LONG)
    shown = desk.run("status", columns=40).stdout
    assert max(len(line) for line in shown.splitlines()) <= 40
    assert LONG in shown.replace("\n", "")
    assert "us-east-1, since now" in shown
    assert shown.index("\nunprotected") < shown.index("\nprotected  good")


def test_on_eighty_columns_they_are_a_table_with_their_region(desk: Desk) -> None:
    desk.stage.bucket("vault")
    lines = desk.run("status", columns=80).stdout.splitlines()
    [head] = [line for line in lines if line.startswith("bucket ")]
    assert head.split() == ["bucket", "Region", "verdict", "since", "why"]
    [row] = [line for line in lines if line.startswith("vault ")]
    assert row.split()[1:4] == ["us-east-1", "unprotected", "now"]


def test_the_counts_are_one_sentence_whatever_has_to_be_warned_of(desk: Desk) -> None:
    desk.stage.bucket("vault")
    desk.patch.setattr(Stack, "exists", False)
    lines = desk.run("status", columns=120).stdout.splitlines()
    assert lines[0] == "1 buckets in us-east-1: 1 enrolled"
    assert lines[1].startswith("(1 unprotected, ")
    assert lines[2].startswith("no stack of that name is deployed here")


def _rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_csv_has_every_enrolled_bucket_worst_first_with_its_open_findings(desk: Desk) -> None:
    protected(desk.stage, "good")
    desk.stage.bucket("bad")
    desk.stage.invoke(sweep.handler, TICK)
    result = desk.run("status", "--csv")
    assert result.return_value == 1
    header, bad, good = _rows(result.stdout)
    assert header == ["bucket", "region", "verdict", "since", "why", "open findings"]
    assert bad[:4] == ["bad", "us-east-1", "unprotected", "2026-09-25T09:15:00+00:00"]
    assert bad[5].startswith("mfa-delete-missing (")
    assert good[0] == "good"
    assert good[5] == ""


def test_a_cell_that_a_spreadsheet_would_compute_begins_with_an_apostrophe() -> None:
    cells = ["=1+1", "+1", "-1", "@x", " =1", "\uff1d1", "a=1", "", 'a,"b"', "line\nbreak"]
    [_, row] = _rows(screen.csv_text(["head"], [cells]))
    assert row == ["'=1+1", "'+1", "'-1", "'@x", "' =1", "'\uff1d1", "a=1", "", 'a,"b"', "line?break"]


def test_the_reason_of_an_exception_cannot_be_a_formula_of_its_own_in_csv(desk: Desk) -> None:
    desk.stage.bucket("excused")
    exempt(desk.stage, "excused", "2026-10-01", '=HYPERLINK("https://example.com")')
    [_, row] = _rows(desk.run("status", "--csv").stdout)
    assert row[4][0] not in "=+-@"


def test_csv_and_json_exclude_each_other(desk: Desk) -> None:
    assert desk.main("status", "--csv", "--json")[0] == 2


def test_the_bar_is_on_stderr_and_only_on_a_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.stage.bucket("vault")
    assert "reading buckets" not in desk.main("status")[2]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    _, out, err = desk.main("status")
    assert "reading buckets" in err
    assert "reading buckets" not in out


def test_a_reader_that_closes_the_pipe_ends_it_quietly(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.stage.bucket("vault")
    for words in (["status"], ["status", "--json"], ["status", "--csv"]):
        reading, writing = os.pipe()
        os.close(reading)
        # closing flushes what is left; at the end of a process click and rich see to that
        with suppress(BrokenPipeError), monkeypatch.context() as patch, open(writing, "w") as closed:
            patch.setattr("sys.stdout", closed)
            patch.setattr("sys.stderr", sys.stderr)  # click puts another in its place
            code, _, err = desk.main(*words)
        assert (code, err) == (3, "")


def test_an_interruption_is_one_sentence_and_begins_nothing_more(desk: Desk) -> None:
    begun: list[int] = []

    def slowly(number: int) -> None:
        begun.append(number)
        time.sleep(0.005)

    def one(number: int) -> None:
        slowly(number)
        raise KeyboardInterrupt

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        screen.at_once("doing", one, range(1000))
    assert len(begun) < 100
    begun.clear()
    desk.patch.setattr("cli.screen.Progress.advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        screen.at_once("doing", slowly, range(1000))
    assert len(begun) < 100

    desk.patch.setattr("cli.status._all_buckets", interrupted)
    code, out, err = desk.main("status")
    assert (code, out, err.strip()) == (3, "", "guardrail: interrupted")


def test_without_credentials_or_a_region_every_verb_says_so_in_one_sentence(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as patch:
        bare = Desk(desk.stage, patch, desk.capture)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("HOME", "/nonexistent")
        for verb in (["status"], ["doctor"], ["runbook", "vault"], ["protect", "vault"], ["contain", "vault"]):
            assert bare.refusal(*verb).startswith("no Region is set")
            assert bare.refusal("--region", "us-east-1", *verb) == "no credentials; sign in, or give --profile"
            assert "nobody" in bare.refusal("--profile", "nobody", *verb)


def test_the_help_of_every_verb_says_its_exit_codes(desk: Desk) -> None:
    for words in ([], *([verb] for verb in VERBS)):
        code, out, _ = desk.main(*words, "--help")
        assert (code, "Exit code:" in out) == (0, True), words


def test_it_asks_once_for_each_enrolled_bucket_and_once_more_where_a_lifecycle_rule_can_be(desk: Desk) -> None:
    for number in range(8):
        desk.stage.bucket(f"safe-{number}", mfa_delete="Enabled")
    for number in range(3):
        desk.stage.bucket(f"open-{number}")
        desk.stage.bucket(f"other-{number}", tagged=False)
    desk.stage.calls.clear()
    desk.main("status", "--json")
    asked = Counter(desk.stage.calls)
    assert (asked["GetBucketVersioning"], asked["GetBucketLifecycleConfiguration"]) == (11, 3)
    assert asked["GetBucketTagging"] == 0
    own = asked.total() - 14 + len(desk.sent)
    assert own <= 12
