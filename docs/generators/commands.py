"""A page for every verb of the command line, from typer's own parameters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backbones.cli.app import VERBS, app_for
from backbones.cli.command import meaning, spelling
from generators.language import Lang, Words
from generators.markdown import cell, code, contents, literal, page, table

_EXAMPLES = "\nExamples:\n"

_COMMANDS_INTRO = (
    "The verbs of `backbones`, in the order of a working life. `backbones VERB -h` prints the same."
)


def write(docs: Path, lang: Lang) -> None:
    """The pages of all verbs, and their list."""
    say, folder = Words(lang), docs / lang / "know" / "commands"
    lines: list[str] = []
    for panel, verbs in VERBS.items():
        lines += [f"## {say(panel)}", ""]
        lines += [
            f"* [`{verb}`]({verb}.md): {literal(say.of_package(said))}"
            for verb, said in verbs.items()
        ]
        lines.append("")
        for verb in verbs:
            (folder / f"{verb}.md").write_text(_page(verb, say), encoding="utf-8")
    every = [verb for verbs in VERBS.values() for verb in verbs]
    text = page(say("Commands"), [say(_COMMANDS_INTRO), ""], lines, contents(every))
    (folder / "index.md").write_text(text, encoding="utf-8")


def said(verb: str) -> Iterator[str]:
    """Every sentence of a verb's page that comes from the package."""
    for _, command, context in _commands(verb):
        yield from _paragraphs(command)
        for each in command.get_params(context):
            if not each.hidden:
                yield each.help or ""


def _commands(verb: str) -> Iterator[tuple[str, Any, Any]]:
    """(what is typed, command, context) of a verb, or of the verbs below it."""
    from typer.main import get_command

    every: Any = get_command(app_for([verb]))
    found = every.commands[verb]
    below = getattr(found, "commands", None)
    for name, command in {verb: found}.items() if below is None else below.items():
        typed = f"backbones {verb}" if below is None else f"backbones {verb} {name}"
        yield typed, command, command.context_class(command, info_name=name)


def _page(verb: str, say: Words) -> str:
    about = next(verbs[verb] for verbs in VERBS.values() if verb in verbs)
    parts: list[str] = []
    several = list(_commands(verb))
    for typed, command, context in several:
        parts += [f"## `{typed}`", ""] if len(several) > 1 else []
        parts += _about(typed, command, context, say, "###" if len(several) > 1 else "##")
    return page(verb, [literal(say.of_package(about)), ""], parts)


def _about(typed: str, command: Any, context: Any, say: Words, mark: str) -> list[str]:
    usage = " ".join([typed, *command.collect_usage_pieces(context)])
    paragraphs = [literal(say.of_package(text)) for text in _paragraphs(command)]
    lines = [*code(usage), *(line for text in paragraphs for line in (text, ""))]
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for each in command.get_params(context):
        if each.hidden:
            continue
        own = getattr(each, "rich_help_panel", None)
        panel = "Arguments" if each.param_type_name == "argument" else own or "Options"
        _, *default = meaning(each, context)
        told = " ".join([say.of_package(each.help or ""), *default]).strip()
        panels.setdefault(panel, []).append((f"`{spelling(each, context)}`", cell(told)))
    for panel, rows in panels.items():
        if rows:
            lines += [
                f"{mark} {say.of_package(panel)}",
                *table([say("option"), say("what it does")], rows),
            ]
    examples = (command.help or "").partition(_EXAMPLES)[2]
    if examples:
        told = "\n".join(line.strip() for line in examples.strip("\n").splitlines())
        lines += [f"{mark} {say('Examples')}", *code(told, "sh")]
    return lines


def _paragraphs(command: Any) -> list[str]:
    text = (command.help or "").partition(_EXAMPLES)[0]
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
