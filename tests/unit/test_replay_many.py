"""`guardrail replay` over many files: folders, damage, times, interruptions, several processes."""

import gzip
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import reading, records
from cli.kept import Kept
from cli.logs import opened as opened_log
from cli.main import guardrail
from tests.unit.cases import load

BUCKET = "example-protected-bucket"
REFUSED: dict[str, Any] = load("delete-object.version-denied.json")["detail"]


def at(hour: int, number: int = 0, **more: Any) -> dict[str, Any]:
    """A refused version delete of that hour; the hour's are one finding."""
    return REFUSED | {"eventTime": f"2026-09-25T{hour:02}:{number:02}:00Z", "eventID": f"event-{hour}-{number}"} | more


PLAIN = [at(1, number, eventName="GetObject") for number in range(30)]


def write(path: Path, *found: dict[str, Any]) -> Path:
    """A log file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps({"Records": found}).encode()))
    return path


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder of logs in which a finding spans files, its first event not being in the first one."""
    folder = tmp_path / "logs"
    for number in range(6):
        write(folder / f"{number // 2}" / f"{number}.json.gz", *PLAIN, at(9, 50 - number), at(12 + number))
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """One protected bucket."""
    last = {"verdict": "protected", "since": "2020-01-01T00:00:00Z"}
    entry = {"tags": {"mfa-delete": "required"}, "versioning": "Enabled", "mfa_delete": "Enabled", "last": last}
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"guardrail": {}, "buckets": {BUCKET: entry}}))
    return path


def run(state: Path, *arguments: object) -> Result:
    """The command, as a person starts it."""
    words = ["replay", "--offline", "--state", str(state), "--json", *map(str, arguments)]
    return CliRunner(mix_stderr=False).invoke(guardrail, words, standalone_mode=False)


def events(result: Result) -> list[str]:
    """Ids of the events that opened what was found."""
    assert result.exception is None, result.exception
    return [json.loads(line)["event_id"] for line in result.stdout.splitlines()]


EVERY = ["event-9-45", *(f"event-{hour}-0" for hour in range(12, 18))]


def test_a_folder_is_read_whole_and_a_finding_spans_its_files(logs: Path, state: Path) -> None:
    result = run(state, logs)
    assert events(result) == EVERY
    assert json.loads(result.stdout.splitlines()[0])["source_file"] == str(logs / "2" / "5.json.gz")
    assert (result.return_value, result.stderr) == (1, "192 records, 7 findings, 0 rejected\n")


def test_what_is_no_log_is_left_out_and_said(logs: Path, state: Path) -> None:
    write(logs / "AWSLogs" / "CloudTrail-Digest" / "digest.json.gz")
    (logs / "notes.txt").write_text("no log")
    result = run(state, logs)
    assert (events(result), result.return_value) == (EVERY, 1)
    assert "2 files are no logs by their names, and were left out\n" in result.stderr


def test_a_name_that_is_no_text_is_no_reason_to_miss_a_log(logs: Path, state: Path) -> None:
    for name, content in ((b"\xff.json", json.dumps({"Records": [at(20)]})), (b"\xfe.json", "{")):
        (logs / os.fsdecode(name)).write_text(content)
    result = run(state, logs)
    assert (events(result), result.return_value) == ([*EVERY, "event-20-0"], 3)
    assert f"rejected: {logs}/?.json: not JSON" in result.stderr


def test_several_processes_find_what_one_finds(logs: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ALONE", 1)
    monkeypatch.setattr(reading, "BATCH_FILES", 1)
    write(logs / "3.json.gz").write_bytes(b"no log")
    alone = run(state, "--workers", "1", logs)
    several = run(state, "--workers", "2", logs)
    assert events(several) == EVERY
    assert (several.stdout, several.stderr, several.return_value) == (alone.stdout, alone.stderr, 3)


def test_times_are_bounds_of_what_is_judged(logs: Path, state: Path) -> None:
    assert events(run(state, "--since", "2026-09-25T13:00:00Z", "--until", "2026-09-25T15:00:00", logs)) == [
        "event-13-0",
        "event-14-0",
    ]
    assert events(run(state, "--since", "2026-09-26", logs)) == []
    assert "neither a date nor a time" in str(run(state, "--since", "yesterday", logs).exception)


def test_logs_delivered_long_before_or_after_are_not_opened(tmp_path: Path, state: Path) -> None:
    name = "111122223333_CloudTrail_us-east-1_{}T0000Z_AbCdEf.json.gz"
    for day in (22, 24, 25, 26, 28):
        write(tmp_path / "logs" / name.format(f"202609{day}"), at(9, day))
    result = run(state, "--since", "2026-09-25", "--until", "2026-09-26", tmp_path / "logs")
    assert result.stderr.startswith("3 records, ")


def test_damaged_files_are_named_and_counted_and_hold_nothing(logs: Path, state: Path) -> None:
    whole = (logs / "0" / "0.json.gz").read_bytes()
    bad = {
        "cut.json.gz": whole[: len(whole) // 2],
        "garbage.json.gz": b"\x1f\x8bnot gzip at all",
        "flipped.json.gz": whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:],
        "half.json": gzip.decompress(whole)[:-40],
        "text.json": b"<html>Access Denied</html>",
    }
    for name, content in bad.items():
        (logs / name).write_bytes(content)
    (logs / "gone.json").symlink_to(logs / "nowhere")
    result = run(state, logs)
    assert (events(result), result.return_value) == (EVERY, 3)
    for name in (*bad, "gone.json"):
        assert f"rejected: {logs / name}: " in result.stderr
    assert "6 files or folders could not be read\n192 records, 7 findings, 6 rejected\n" in result.stderr


def test_no_file_makes_it_hold_more_than_so_much(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "PIECE", 1000)
    monkeypatch.setattr(records, "HELD_AT_MOST", 60_000)
    bomb = write(tmp_path / "bomb.json.gz", at(9, userAgent="x" * 100_000))
    long = write(tmp_path / "long.json.gz", *PLAIN * 10, at(9))
    result = run(state, bomb, long)
    assert (events(result), result.return_value) == (["event-9-0"], 3)
    assert f"{bomb}: no record ends within" in result.stderr


class Interrupted(Exception):
    """Stands for Ctrl-C, which click would turn into its own."""


@pytest.mark.parametrize("done", range(6))
def test_what_was_interrupted_goes_on_and_finds_what_one_run_finds(
    logs: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    write(logs / "1" / "2.json.gz", at(9, 48), {"eventName": "PutBucketVersioning"}, at(14))
    uninterrupted = run(state, logs)
    resume, opened = tmp_path / "resume", list[str]()
    monkeypatch.setattr(reading, "BATCH_FILES", 1)
    kept = Kept.add

    def add(self: Kept, read: reading.LogRead) -> None:
        if len(opened) > done:
            raise Interrupted
        kept(self, read)

    def noted(log: Any, s3: Any) -> Any:
        opened.append(log.name)
        return opened_log(log, s3)

    monkeypatch.setattr(reading, "opened", noted)
    monkeypatch.setattr(Kept, "add", add)
    assert isinstance(run(state, "--resume", resume, logs).exception, Interrupted)
    assert len(opened) == done + 1
    monkeypatch.setattr(Kept, "add", kept)
    opened.clear()
    resumed = run(state, "--resume", resume, logs)
    assert len(opened) == 6 - done
    assert (resumed.stdout, resumed.stderr) == (uninterrupted.stdout, uninterrupted.stderr)
    assert resumed.return_value == uninterrupted.return_value == 3


def test_a_file_that_changed_or_was_damaged_is_read_again(logs: Path, state: Path, tmp_path: Path) -> None:
    resume, damaged = tmp_path / "resume", logs / "6.json.gz"
    damaged.write_bytes(b"{")
    for _ in range(2):  # it stays damaged, and is named each time
        assert f"rejected: {damaged}: not JSON" in run(state, "--resume", resume, logs).stderr
    assert stat.S_IMODE(resume.stat().st_mode) == 0o600
    write(damaged, at(20))
    write(logs / "0" / "0.json.gz", at(21, userAgent="another length"))
    (logs / "1" / "2.json.gz").write_bytes(b"damaged since")
    assert "event-14-0" not in events(run(state, "--resume", resume, logs))
    write(logs / "1" / "2.json.gz", at(14))
    result = run(state, "--resume", resume, logs)
    assert (events(result), result.return_value) == ([*EVERY[:1], *EVERY[2:], "event-20-0", "event-21-0"], 1)


def test_what_a_resume_file_knows_of_other_logs_is_not_judged(logs: Path, state: Path, tmp_path: Path) -> None:
    resume = tmp_path / "resume"
    run(state, "--resume", resume, logs)
    result = run(state, "--resume", resume, logs / "1")
    assert (events(result), result.return_value) == (["event-9-47", "event-14-0", "event-15-0"], 1)
    assert result.stderr == "64 records, 3 findings, 0 rejected\n"


@pytest.mark.parametrize("content", [b"precious notes, not ours", b"SQLite format 3\0 or nearly"])
def test_a_file_that_is_not_of_resume_is_left_as_it_is(logs: Path, state: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes").write_bytes(content)
    assert "is no file that replay --resume wrote" in str(run(state, "--resume", tmp_path / "notes", logs).exception)
    assert (tmp_path / "notes").read_bytes() == content


def test_a_resume_file_of_another_version_is_not_believed(
    logs: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(state, "--resume", tmp_path / "resume", logs)
    monkeypatch.setattr("cli.kept.version", lambda _: "9.9.9")
    assert "another version" in str(run(state, "--resume", tmp_path / "resume", logs).exception)


def test_what_was_not_looked_into_is_not_called_fine(
    logs: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty" / "folder").mkdir(parents=True)
    (tmp_path / "empty" / "notes.txt").write_text("no log")
    (tmp_path / "empty" / "linked").symlink_to(logs)
    result = run(state, tmp_path / "empty")
    assert (events(result), result.return_value) == ([], 3)
    assert f"rejected: {tmp_path / 'empty'}: there are no logs" in result.stderr
    assert f"rejected: {tmp_path / 'empty' / 'linked'}: a link to a folder is not followed" in result.stderr
    real = os.scandir

    def refused(path: str) -> Any:
        if str(path).endswith("folder"):  # as it is for whoever is not root
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert f"{tmp_path / 'empty' / 'folder'}: Permission denied" in run(state, tmp_path / "empty").stderr


@pytest.mark.parametrize("place", ["nowhere.json", "s3://"])
def test_what_is_not_there_is_said_before_anything_is_read(logs: Path, state: Path, place: str) -> None:
    result = run(state, logs, place)
    assert result.exception is not None
    assert place in str(result.exception)
    assert getattr(result.exception, "exit_code", None) == 2
