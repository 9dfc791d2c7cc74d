"""MyST Markdown: tables, code, headings, and text that is meant literally."""

from __future__ import annotations

from collections.abc import Sequence


def cell(text: object) -> str:
    """Text in a cell of a table, no part of which is markup."""
    return literal(str(text)).replace("|", "\\|").replace("\n", " ")


def literal(text: str) -> str:
    """Text no part of which is markup, but for code in backticks."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a lone backtick
        return _escaped(text.replace("`", "'"))
    return "`".join(part if number % 2 else _escaped(part) for number, part in enumerate(parts))


def _escaped(text: str) -> str:
    for mark in "\\*_[]<>{}$#~":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("://", "&#58;//")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], right: str = "") -> list[str]:
    """A table.

    Args:
        headings: of the columns; none of them empty.
        rows: cells as Markdown.
        right: a letter a column, "r" for those to align right.
    """
    aligned = right.ljust(len(headings), "l")
    lines = ["| " + " | ".join(headings) + " |"]
    lines.append("|" + "|".join("---:" if side == "r" else "---" for side in aligned) + "|")
    lines += ["| " + " | ".join(str(each) for each in row) + " |" for row in rows]
    return ["", *lines, ""]


def code(text: str, language: str = "text") -> list[str]:
    """A block of code."""
    return ["", f"```{language}", *text.rstrip("\n").splitlines(), "```", ""]


def folded(title: str, lines: Sequence[str]) -> list[str]:
    """What a reader unfolds."""
    return ["", f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""]


def contents(pages: Sequence[str], *, hidden: bool = True, depth: int = 1) -> list[str]:
    """A table of contents."""
    options = [f":maxdepth: {depth}", *([":hidden:"] if hidden else [])]
    return ["", "```{toctree}", *options, "", *pages, "```", ""]


def page(title: str, *parts: Sequence[str], above: str = "") -> str:
    """A whole page.

    Args:
        title: its heading.
        parts: lines of Markdown.
        above: the title of the list that it is on, for pages that are too many for the sidebar.
    """
    lines = ["---", "orphan: true", "---", "", f"[{above}](index.md)", ""] if above else []
    lines += [f"# {title}", ""]
    for part in parts:
        lines += part
    return "\n".join(lines).rstrip() + "\n"
