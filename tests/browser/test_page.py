"""The report in a real Chromium: what others named badly, what it asks for, who can use it, how fast it is."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from cli import report_page
from tests.browser.chromium import Browser, Page
from tests.browser.conftest import HOSTILE, IMAGE

PICTURES = Path("build/report")
AXE = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
OPEN_ALL = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
SHOWN = "[...document.querySelectorAll('#table tbody tr')].filter((row) => row.offsetParent)"
FIRST = f"{SHOWN}[0].cells[0].textContent"
COUNT = "document.getElementById('count').textContent"


def button(label: str) -> str:
    """The expression for a button of the table's head."""
    return f"[...document.querySelectorAll('thead button')].find((each) => each.textContent === '{label}')"


def broken(monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], *, with_policy: bool) -> str:
    """The page as it would be if somebody broke its escaping, and, if so told, its policy."""
    real = report_page._environment

    def unescaped() -> Any:
        made = real()
        made.autoescape = False
        return made

    monkeypatch.setattr(report_page, "_environment", unescaped)
    text = report_page.page(said)
    return text if with_policy else text.replace("Content-Security-Policy", "no-policy")


def quiet(page: Page) -> None:
    """Nothing of others ran, nothing was asked for, nothing went wrong."""
    page.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert page.evaluate("typeof window.pwned") == "undefined"
    assert page.told("Page.javascriptDialogOpening") == []
    assert page.told("Runtime.exceptionThrown") == []
    assert page.told("Log.entryAdded") == []
    assert len(page.requests()) == 1, page.requests()
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0


def test_hostile_names_stay_text_and_nothing_leaves_the_page(browser: Browser, small_file: Path) -> None:
    page = browser.open(small_file)
    page.evaluate(OPEN_ALL)
    shown = page.evaluate("document.body.textContent")
    for text in (HOSTILE, IMAGE, "invoice\\u202egpj.exe\\u200b \\u2066x", "wwwww..wwwww"):
        assert text in shown, text
    assert page.evaluate("document.querySelectorAll('img, iframe, object, link, body script').length") == 0
    assert not any(char in shown for char in "\u202e\u200b\u2066")
    quiet(page)


def test_were_the_escaping_broken_the_policy_would_still_stop_the_script(
    browser: Browser, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "broken.html"
    file.write_text(broken(monkeypatch, small, with_policy=True))
    page = browser.open(file)
    assert page.evaluate("document.querySelectorAll('body script').length") > 0
    assert page.evaluate("document.querySelectorAll('img').length") > 0
    assert page.evaluate("typeof window.pwned") == "undefined"
    told = " ".join(entry["entry"]["text"] for entry in page.told("Log.entryAdded"))
    assert "Content Security Policy" in told
    asked = page.requests()[1:]  # the image; it is told, and never left
    assert asked
    assert {each.get("blockedReason") for each in page.told("Network.loadingFailed")} == {"csp"}


def test_without_escaping_and_policy_the_script_would_run_so_the_tests_above_can_fail(
    browser: Browser, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "broken.html"
    file.write_text(broken(monkeypatch, small, with_policy=False))
    page = browser.open(file)
    assert page.evaluate("typeof window.pwned") == "number"


def test_a_script_put_in_later_is_refused(browser: Browser, small_file: Path) -> None:
    page = browser.open(small_file)
    page.evaluate("{ const late = document.createElement('script'); late.textContent = 'window.pwned = 3'; "
                  "document.body.append(late); }")  # fmt: skip
    page.evaluate("document.body.setAttribute('onclick', 'window.pwned = 4'), document.body.click()")
    page.evaluate("fetch('https://example.com/').catch(() => 0)")
    assert page.evaluate("typeof window.pwned") == "undefined"
    page.until("true")
    assert {each.get("blockedReason") for each in page.told("Network.loadingFailed")} <= {"csp"}
    assert page.told("Network.responseReceived")[1:] == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_violation(browser: Browser, small_file: Path, dark: bool) -> None:
    page = browser.open(small_file, dark=dark)
    page.evaluate(AXE)
    for how in ("0", OPEN_ALL):
        page.evaluate(how)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((said) => said.violations.map("
                              "(one) => [one.id, one.nodes.slice(0, 3).map((node) => node.html)]))")  # fmt: skip
        assert found == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_drawn_small_and_large(
    browser: Browser, small_file: Path, large_file: Path, dark: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, file in (("3", small_file), ("2000", large_file)):
        page = browser.open(file, dark=dark)
        page.shoot(PICTURES / f"{name}-{'dark' if dark else 'light'}.png")
        took = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        with capsys.disabled():
            size_mb = file.stat().st_size / 1e6
            print(f"\n{name} buckets: {size_mb:.1f} MB, loaded in {took:.0f} ms", end="")  # noqa: T201  # a figure to see
    assert page.evaluate(f"{SHOWN}.length") == 100
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is not dark


def test_sort_filter_search_and_pages_work_by_keyboard(browser: Browser, large_file: Path) -> None:
    page = browser.open(large_file)
    page.tab_to("document.getElementById('search')")
    page.type("bucket-19")
    assert page.evaluate(COUNT) == "Showing 1 to 100 of 100 buckets, of 2,000 in all"
    page.type("99")
    assert page.evaluate(f"[{COUNT}, {FIRST}]") == ["Showing 1 to 1 of 1 buckets, of 2,000 in all", "bucket-1999"]
    page.type("x")
    assert page.evaluate(COUNT) == "None of 2,000 buckets matches"
    page.evaluate("document.getElementById('search').select()")
    page.type("bucket-")
    page.key("Tab")
    page.type("s")  # the select's own way: the first that begins with it
    page.until(f"{COUNT} === 'Showing 1 to 100 of 666 buckets, of 2,000 in all'")
    page.tab_to(button("Bucket"))
    page.key("Enter")
    page.key(" ")
    assert page.evaluate(f"[{FIRST}, document.activeElement.closest('th').ariaSort]") == ["bucket-1997", "descending"]
    page.tab_to(button("State"))
    page.key("Enter")
    assert page.evaluate("[...document.querySelectorAll('th[aria-sort]')].map((each) => each.ariaSort)") == [
        "none", "ascending", "none", "none", "none", "none",
    ]  # fmt: skip
    page.evaluate("document.getElementById('after').focus()")  # some 300 Tabs away
    page.key("Enter")
    assert page.evaluate(COUNT) == "Showing 101 to 200 of 666 buckets, of 2,000 in all"
    quiet(page)


def test_the_skip_link_comes_first_and_the_focus_is_seen(browser: Browser, small_file: Path) -> None:
    page = browser.open(small_file)
    page.tab_to("document.querySelector('.skip')", limit=1)
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.key("Enter")
    assert page.evaluate("document.activeElement.id") == "buckets"


def test_a_finding_in_the_table_leads_to_its_runbook(browser: Browser, small_file: Path) -> None:
    page = browser.open(small_file)
    page.tab_to("document.querySelector('tbody a')")
    page.key("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")
    assert "--bucket archive" in page.evaluate("document.activeElement.parentElement.querySelector('pre').textContent")


def test_without_scripts_every_row_is_there(browser: Browser, middle_file: Path) -> None:
    page = browser.open(middle_file, scripts=False)
    tree = page.call("DOM.getDocument", depth=0)["root"]["nodeId"]
    page.call("DOM.enable")
    page.call("CSS.enable")
    rows = page.call("DOM.querySelectorAll", nodeId=tree, selector="#table tbody tr")["nodeIds"]
    style = page.call("CSS.getComputedStyleForNode", nodeId=rows[-1])["computedStyle"]
    assert len(rows) == 300
    assert {each["name"]: each["value"] for each in style}["display"] == "table-row"


def test_on_paper_it_is_light_whole_and_without_controls(browser: Browser, middle_file: Path) -> None:
    page = browser.open(middle_file, dark=True)
    page.media("print", dark=True)
    assert page.evaluate(f"{SHOWN}.length") == 300
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.querySelector('.controls').offsetParent === null")


def test_a_narrow_window_scrolls_the_table_not_the_page(browser: Browser, small_file: Path) -> None:
    page = browser.open(small_file, width=380, height=800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
