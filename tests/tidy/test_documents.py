"""The documents at the top of the repository say what is so."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")])
SYSTEMS = (
    "Account segmentation",
    "Margin segregation",
    "Asset segregation",
    "Account segregation protocols",
    "Micro-segmentation",
)


def glossary() -> list[str]:
    """List every term of the glossary: the bold words of the first column."""
    rows = [line for line in (ROOT / "GLOSSARY.md").read_text().splitlines() if line.startswith("| **")]
    return [term for row in rows for term in re.findall(r"\*\*([^*]+)\*\*", row.split("|")[1])]


def test_the_glossary_has_terms():
    assert len(glossary()) > 40
    assert len(glossary()) == len(set(glossary())), "one meaning each"


def test_every_term_of_the_glossary_is_used():
    files = [
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "policies").rglob("*.yaml"),
        *(ROOT / "docs").rglob("*.md"),
    ]
    text = " ".join(re.sub(r"[\s_-]+", " ", file.read_text()) for file in files).lower()
    missing = [term for term in glossary() if re.sub(r"[\s_-]+", " ", term).lower() not in text]
    assert not missing, f"use it in src/, policies/ or docs/, or take it out of GLOSSARY.md: {missing}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    broken = [t for t in targets if not re.match(r"[a-z]+:", t) and not (page.parent / t).exists()]
    assert not broken, broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_page_has_one_title(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1


def test_every_page_of_the_docs_stands_on_a_shelf(generate):
    shelves = {ROOT / "docs" / shelf for shelf in generate.SHELVES}
    strays = [page.name for page in (ROOT / "docs").rglob("*.md") if page.parent not in shelves]
    assert strays == ["index.md"]


def test_the_read_me_names_the_five_systems_and_the_two_commands():
    text = (ROOT / "README.md").read_text()
    missing = [system for system in SYSTEMS if f"**{system}**" not in text]
    assert missing == []
    assert "$ make demo" in text
    assert "$ make test" in text


def test_what_the_read_me_points_to_is_there():
    # The table of the five systems names the test, policy or bench that shows each thing.
    text = (ROOT / "README.md").read_text()
    named = re.findall(r"`((?:tests|bench|policies|docs|src)/[^`\s]*)`", text)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_make_has_every_word_that_a_document_uses():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        used = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text()))
        assert used <= targets, page


def test_the_version_of_the_project_is_in_the_change_log():
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()
