"""The link checker finds what is broken, and nothing is broken in this project."""

from __future__ import annotations

from pathlib import Path

from tests.docs.links import broken


def test_every_link_of_the_project_leads_somewhere() -> None:
    assert broken() == []


def test_broken_links_are_named_by_page_and_line(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (tmp_path / "README.md").write_text(
        "# A title: with *marks*\n"
        "[fine](docs/index.md) [here](#a-title-with-marks) [web](https://example.org/x)\n"
        "[gone](docs/gone.md) and [no heading](docs/index.md#nowhere)\n"
        "```\n[not a link](in/a/block)\n```\n`[nor](this)`\n"
    )
    (docs / "index.md").write_text("# Index\n\n[up](../README.md)\n")
    (docs / "orphan.md").write_text("# Orphan\n")
    assert broken(tmp_path) == [
        "README.md:3: docs/gone.md: no such file",
        "README.md:3: docs/index.md#nowhere: no such heading",
        "docs/orphan.md: no page links here (docs/index.md should)",
    ]
