"""How every verb reads its words and shows its help.

Help is grouped, plain text: what the verb does, its options by group, and last its examples, one
a line, each as it can be copied. A mistake in the words is told in one line (see `usage`).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from backbones.cli.usage import (
    OptionNames,
    modern,
    refuse_assignments,
    refuse_leftovers,
    unknown_verb,
    usage_line,
)
from backbones.errors import WrongUse

PANELS = ("Look", "Train", "Use", "Ship", "Manage")
"""The groups of verbs, in the order of a working life."""

_KINDS = {"str": "TEXT", "int": "N", "int range": "N", "float": "X", "float range": "X"}
_EXAMPLES = "\nExamples:\n"


class Command(TyperCommand):
    """A verb."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words; what is left over is told with what was meant."""
        names = OptionNames.of(self.get_params(ctx))
        ctx.allow_extra_args = True
        try:
            rest = super().parse_args(ctx, modern(ctx.info_name or "", names, args))
        except typer.TyperException as error:
            raise WrongUse(usage_line(error, ctx)) from None
        if not ctx.resilient_parsing:
            refuse_assignments(ctx, self.get_params(ctx))
            if rest:
                refuse_leftovers(ctx, names, rest)
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """As typer, but what is required stands bare."""
        return [_bare(piece) for piece in super().collect_usage_pieces(ctx)]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """What the verb does, without its examples."""
        self._whole, self.help = self.help, (self.help or "").partition(_EXAMPLES)[0]
        super().format_help_text(ctx, formatter)
        self.help = self._whole

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, options without a group, the groups."""
        write_parameters(self.get_params(ctx), ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The examples, never wrapped."""
        examples = (self.help or "").partition(_EXAMPLES)[2]
        if examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line.strip()}\n" for line in examples.splitlines()))


class Group(TyperGroup):
    """Verbs under one name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words; without any, the help is the answer, and wrong use."""
        if not args and not ctx.resilient_parsing:
            sys.stderr.write(ctx.get_help() + "\n")
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that is named, or an error with the one that was meant."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown_verb(ctx, args, self.commands)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The verbs first, by group."""
        self.format_commands(ctx, formatter)
        write_parameters(self.get_params(ctx), ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """A line a verb."""
        verbs: list[tuple[str, Any]] = [
            (name, each) for name, each in self.commands.items() if not each.hidden
        ]
        width = max(len(name) for name, _ in verbs)
        panels: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS}
        for name, each in verbs:
            panel = each.rich_help_panel if each.rich_help_panel in panels else "Commands"
            about = (name.ljust(width), each.get_short_help_str(200))
            panels.setdefault(panel, []).append(about)
        for title, rows in panels.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def new_group(about: str, **more: Any) -> typer.Typer:
    """An application, or a group of verbs in one, with our help and our errors.

    Args:
        about: what the group is for, in one sentence.
        more: as `typer.Typer` takes it.
    """
    return typer.Typer(
        cls=Group,
        help=about,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **more,
    )


def with_groups(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb as typer reads it: a parameter that is a group of options becomes these options.

    Args:
        verb: whose groups are dataclasses, each field with the `Annotated` of an option. It is
            called with each group filled in.
    """
    kinds = get_type_hints(verb, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in kinds.items() if is_dataclass(kind)}
    options: list[inspect.Parameter] = []
    for each in inspect.signature(verb).parameters.values():
        if each.name in groups:
            options += _options_of(groups[each.name])
        else:
            options.append(each.replace(kind=each.KEYWORD_ONLY, annotation=kinds[each.name]))

    @wraps(verb)
    def called(**given: Any) -> None:
        filled = {
            name: group(**{each.name: given.pop(each.name) for each in fields(group)})
            for name, group in groups.items()
        }
        verb(**given, **filled)

    called.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in options}
    return called


def _options_of(group: Any) -> Iterator[inspect.Parameter]:
    kinds = get_type_hints(group, include_extras=True)
    for each in fields(group):
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        kind = inspect.Parameter.KEYWORD_ONLY
        yield inspect.Parameter(each.name, kind, default=default, annotation=kinds[each.name])


def write_parameters(parameters: Iterable[Any], ctx: Any, formatter: Any) -> None:
    """The arguments, then the options group by group."""
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for each in parameters:
        if each.hidden:
            continue
        own = getattr(each, "rich_help_panel", None)
        kind = "Arguments" if each.param_type_name == "argument" else own or "Options"
        panels.setdefault(kind, []).append((spelling(each, ctx), " ".join(meaning(each, ctx))))
    for title, rows in panels.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows, col_max=26)


def spelling(parameter: Any, ctx: Any) -> str:
    """How it is typed: every name, and what its value is."""
    if parameter.param_type_name == "argument":
        more = parameter.nargs != 1 and "..." not in parameter.metavar
        return f"{parameter.metavar}{'...' * more}"
    names = ", ".join([*sorted(parameter.opts, key=len), *parameter.secondary_opts])
    if parameter.is_flag:
        return names
    kind = parameter.metavar or parameter.display_type(ctx).strip("<>")
    return f"{names} {_KINDS.get(kind, 'PATH' if kind == 'path' else kind)}"


def meaning(parameter: Any, ctx: Any) -> Iterator[str]:
    """Its help, and what it is where it isn't typed."""
    yield parameter.help or ""
    default = parameter.default
    if parameter.param_type_name == "option" and not isinstance(default, bool | None):
        yield f"[default: {default}]"


def _bare(piece: str) -> str:
    """A piece of usage without the braces; what repeats inside does not repeat as a whole."""
    inner = piece.removesuffix("...").strip("{}")
    return inner if "..." in inner or inner == piece.strip("{}") else f"{inner}..."
