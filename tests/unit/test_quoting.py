"""What others chose must not break a line, a subject, a shell command, Markdown or a terminal."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared import quoting


@given(st.text())
def test_quoted_text_is_one_line_of_printable_ascii(text: str) -> None:
    shown = quoting.quoted(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert not set(shown) & set("`<>&$|")
    assert len(shown) <= 122


@given(st.text(alphabet="0123456789 x", max_size=30))
def test_no_six_digit_group_survives(text: str) -> None:
    groups = "".join(char if char.isdigit() else " " for char in quoting.redact(text)).split()
    assert all(len(group) != 6 for group in groups)


def test_an_account_id_is_not_a_code() -> None:
    assert quoting.redact("account 111122223333, code 123456.") == "account 111122223333, code [code]."


def test_a_harmless_value_stays_as_it_is_and_a_hostile_one_is_quoted() -> None:
    assert quoting.plain("192.0.2.10") == "192.0.2.10"
    assert quoting.plain("a\nSubject: b") == '"a\\nSubject: b"'


@given(st.text(max_size=60), st.integers(min_value=5, max_value=60))
def test_cut_keeps_both_ends(text: str, limit: int) -> None:
    short = quoting.cut(text, limit)
    assert len(short) <= limit
    assert short == text or (".." in short and text.startswith(short.split("..")[0][:1]))


def test_spans_read_well() -> None:
    seconds = (4, 725, 7320, 187_200)
    assert [quoting.span(timedelta(seconds=s)) for s in seconds] == ["4 s", "12 min 5 s", "2 h 2 min", "2 d 4 h"]
