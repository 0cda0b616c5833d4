"""Check the links of README, docs/ and the other Markdown pages: files, headings, nothing orphaned.

`python -m tests.docs.links` prints each broken link with its page and line. Looks at links inside
the project only: what lies on the web is not asked for.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\[[^\]]+\]:\s*(\S+)")
SKIPPED = {".git", ".venv", ".cache", ".rigs", ".bench", "node_modules"}


def pages(root: Path = ROOT) -> list[Path]:
    """Return the project's Markdown pages."""
    return sorted(
        path
        for path in root.rglob("*.md")
        if not any(part in SKIPPED or part.startswith(".pytest") for part in path.parts)
    )


def broken(root: Path = ROOT) -> list[str]:
    """Return one line for each broken link and each page of docs/ that no page links to."""
    problems: list[str] = []
    linked: set[Path] = set()
    for page in pages(root):
        for number, target in _links(page.read_text(encoding="utf-8")):
            where = f"{page.relative_to(root)}:{number}"
            path, _, heading = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            linked.add(there)
            if there.is_dir() and path:
                linked.update(there.glob("*.md"))
            if not there.exists():
                problems.append(f"{where}: {target}: no such file")
            elif heading and there.suffix == ".md" and heading not in _headings(there):
                problems.append(f"{where}: {target}: no such heading")
    for page in pages(root):
        inside = page.is_relative_to(root / "docs")
        if inside and page != root / "docs/index.md" and page.resolve() not in linked:
            problems.append(f"{page.relative_to(root)}: no page links here (docs/index.md should)")
    return problems


def _links(text: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for number, line in _prose(text):
        bare = re.sub(r"`[^`]*`", "", line)
        for target in [*LINK.findall(bare), *REFERENCE.findall(bare)]:
            if not re.match(r"[a-z]+:", target):
                found.append((number, target))
    return found


@cache
def _headings(page: Path) -> set[str]:
    """Return the anchors that a page's headings get on a code host."""
    found: dict[str, int] = {}
    anchors: set[str] = set()
    for _, line in _prose(page.read_text(encoding="utf-8")):
        if heading := re.match(r"#{1,6}\s+(.*?)\s*#*$", line):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-")
            seen = found.get(slug, 0)
            found[slug] = seen + 1
            anchors.add(f"{slug}-{seen}" if seen else slug)
    return anchors


def _prose(text: str) -> list[tuple[int, str]]:
    """Return the numbered lines outside fenced blocks."""
    lines: list[tuple[int, str]] = []
    fence = ""
    for number, line in enumerate(text.splitlines(), start=1):
        opening = re.match(r"\s*(`{3,})", line)
        if opening and not fence:
            fence = opening[1]
        elif opening and opening[1].startswith(fence) and line.strip() == opening[1]:
            fence = ""
        elif not fence:
            lines.append((number, line))
    return lines


def main() -> int:
    """Print what is broken; 1 if anything is."""
    problems = broken()
    print("\n".join([*problems, f"{len(pages())} pages, {len(problems)} problems"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
