"""README and docs: what they quote is what there is."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from bench import many_accounts
from cli.main import VERBS
from docs import generate
from tests.unit import pages
from tests.unit.pages import PAGES, ROOT

README = pages.README.read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(:[0-9]{2})?")


def test_the_readme_is_one_screen() -> None:
    assert len(README.splitlines()) <= 90


def test_the_readme_says_that_the_whole_suite_needs_a_browser() -> None:
    wanted = {verb: needs.split() for verb, needs in re.findall(r"^(\S+):(.*?)(?:##.*)?$", MAKEFILE, re.MULTILINE)}
    assert "browser-setup" in wanted["browser"]
    assert "browser" in wanted["test"]
    assert "`make test` runs every test and needs Chromium (`make browser-setup`)" in README


def test_the_alert_in_the_readme_is_the_golden_one() -> None:
    """But for bucket and times, which are the demo's; tests/e2e/test_story.py compares it with the demo's mail."""
    golden = (Path(__file__).parent / "golden" / "mfa-delete-disabled.txt").read_text(encoding="utf-8")
    shown, _ = pages.blocks(pages.README, "text")
    assert shown.startswith("Subject: ")
    named = shown.rstrip("\n").replace("example-vault", "example-protected-bucket")
    assert TIME.sub("TIME", golden).startswith(TIME.sub("TIME", named))


def test_no_page_shows_an_output_that_no_test_compares() -> None:
    """README's two are the demo's; any other stands right after its one command."""
    for page in PAGES:
        assert len(pages.blocks(page, "text")) == len(pages.shown(page)) + 2 * (page == pages.README), page.name
    assert sum(len(pages.shown(page)) for page in PAGES) > 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8"))
    for target, anchor in links:
        if not target.startswith("https://"):
            led_to = page.parent / target if target else page
            assert led_to.exists(), target
            assert not anchor or anchor in pages.anchors(led_to), f"{target}#{anchor}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, next_ones = {pages.README}, [pages.README]
    while next_ones:
        page = next_ones.pop()
        for target in re.findall(r"\]\(([^)#:]+\.md)", page.read_text(encoding="utf-8")):
            found = (page.parent / target).resolve()
            next_ones += [found] * (found not in reached)
            reached.add(found)
    assert {page.name for page in set(PAGES) - reached if page.parent in {ROOT, ROOT / "docs"}} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_verbs_and_files_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    verbs = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z0-9-]+)", text)) <= verbs
    for path in re.findall(r"`((?:src|docs|events|tests|local|runbook)/[\w./-]*\w)`", text):
        assert (ROOT / path).exists() or not Path(path).suffix, path


def test_the_figures_of_many_accounts_are_those_that_the_script_prints() -> None:
    page = (ROOT / "docs" / "many-accounts.md").read_text()
    shown = page.split("<!-- bench/many_accounts.py -->\n")[1].split("\n<!-- end -->")[0]
    assert shown == many_accounts.markdown()
    assert f"are through in {many_accounts.sweep_minutes():.0f} minutes" in page


def threats() -> list[list[str]]:
    """The tables of the threat model that name tests: the cells of each row but the head."""
    lines = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    return [row for row in rows if len(row) > 3 and row[0] not in {"row", "threat", "---"}]


def test_every_line_of_the_threat_model_names_a_test_or_says_that_there_is_none() -> None:
    assert [row for row in threats() if "`test_" not in row[-2] and row[-2] != "none"] == []
    assert [row for row in threats() if not row[-1]] == []


def test_every_test_that_the_threat_model_names_exists() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")))
    assert named - there == set()


def test_every_test_that_shows_a_claim_exists_in_its_file() -> None:
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    for shown in re.findall(r"`\"?(tests/[^`]+)`", page):
        paths = [ROOT / path for path in re.findall(r"tests/\w+(?:/\w+\.py)?", shown)]
        assert all(path.exists() for path in paths), shown
        found = "".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())
        names = re.findall(r"\btest_\w+", re.sub(r"tests/\w+(?:/\w+\.py)?", "", shown))
        assert {name for name in names if f"def {name}" not in found} == set(), shown


def test_every_page_has_its_claims_in_the_list() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "claims.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = set(re.findall(r"\S+\.md", " ".join(headings)))
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} | {"README.md"}
    assert pages - listed == {"docs/claims.md"}


def test_the_threat_model_has_a_line_for_every_move_that_is_played() -> None:
    lined = [int(row[0]) for row in threats() if row[0].isdigit()]
    assert lined == sorted({attack["row"] for attack in generate.attacks()}) == sorted(generate.ROWS)


def test_the_layers_in_the_architecture_are_those_that_are_enforced() -> None:
    told = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("\nDownwards only: ")[2]
    [enforced] = [
        [set(layer.split(" | ")) for layer in contract["layers"]]
        for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
            "contracts"
        ]
        if contract["id"] == "layers"
    ]
    layers = [set(re.findall(r"`(\w+)`", layer)) for layer in told.partition(". ")[0].split("→")]
    assert layers == [{"handlers"}, *enforced]


def test_the_architecture_names_every_handler_and_every_file_of_controls() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    way = page.partition("## One way through")[2].partition("\n## ")[0]
    handlers = {path.name for path in (ROOT / "src" / "handlers").glob("*.py")} - {"__init__.py"}
    assert {name for name in handlers if name not in way} == set()
    adding = page.partition("**A control**")[2].partition("**A handler**")[0]
    assert {f"`{room}.py`" for room in ("states", "deeds", "watch") if f"`{room}.py`" not in adding} == set()


def test_a_verb_of_the_command_has_a_file_of_its_name() -> None:
    assert {verb for verb in VERBS if not (ROOT / "cli" / f"{verb}.py").is_file()} == set()


def test_help_lists_every_verb() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = {line.split()[0] for line in done.stdout.splitlines() if re.match(r"[a-z]", line)}
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert phony is not None
    assert listed >= set(phony[1].split())


def test_the_runbook_names_the_stack_in_its_own_region_and_clears_a_change_set_before_it_makes_one() -> None:
    text = (ROOT / "runbook" / "RUNBOOK.md").read_text(encoding="utf-8")
    named = [line.strip() for line in text.splitlines() if re.search(r"--stack(-name)? {{stack}}", line)]
    assert [line for line in named if "--region {{home}}" not in line] == []
    verbs = re.findall(r"aws cloudformation (\S+) .*--change-set-name put-back", "\n".join(named))
    assert verbs[:2] == ["delete-change-set", "create-change-set"]
