"""Mistakes in the words of a command, each told in one line: what was typed, what was expected."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from backbones.errors import NotFound, WrongUse, nearest

# What options were called before, by verb; they are understood for one release.
RENAMED = {
    "predict": {"--weights": "--also"},
    "features": {"--tap": "--layer"},
    "stylize": {"--network": "--model"},
    "convert": {"--variant": "--model"},
    "show": {"--pictures": "--images"},
}

# What users of other tools type, and what it is here; a spelling is understood where there is such
# an option, and text is what an error says.
_SPELLINGS = {
    **dict.fromkeys(("--img-size", "--imgsz", "--input-size", "--img"), "--image-size"),
    **dict.fromkeys(("--learning-rate", "--lr0"), "--lr"),
    **dict.fromkeys(("--batch", "--batchsize", "--bs"), "--batch-size"),
    **dict.fromkeys(("--epoch", "--num-epochs", "--max-epochs"), "--epochs"),
    **dict.fromkeys(("--output", "--output-dir", "--project", "--save-dir"), "--out"),
    **dict.fromkeys(("--arch", "--net"), "--model"),
    **dict.fromkeys(("--topk", "--top-k"), "--top"),
}
_ELSEWHERE = {
    "--pretrained": "--recipe finetune starts from public weights, --weights ID from others",
    "--finetune": "--recipe finetune starts from public weights, --weights ID from others",
    "--amp": "--precision bf16 (auto takes it where it is fast)",
    "--half": "--precision bf16 (auto takes it where it is fast)",
    "--fp16": "--precision bf16 (auto takes it where it is fast)",
    "--checkpoint": "name the run folder, bundle or weight file as the first argument",
    "--save": "the run folder keeps the best and the last weights by itself",
    "--no-cuda": "--set device=cpu (auto takes a GPU where there is one)",
    "--workers": "--set workers=N",
    "--num-workers": "--set workers=N",
    "--weight-decay": "--set optimizer.weight_decay=X",
    "--momentum": "--set optimizer.momentum=X",
    "--opt": "--set optimizer.kind=NAME",
    "--optimizer": "--set optimizer.kind=NAME",
    "--sched": "--set schedule.kind=NAME",
    "--scheduler": "--set schedule.kind=NAME",
    "--warmup-epochs": "--set schedule.warmup=5epochs",
    "--dropout": "a network's dropout is its paper's",
    "--freeze": "--set freeze=old trains the last layer only",
    "--mixup": "--set mixup=0.2",
    "--cutmix": "--set cutmix=1",
    "--smoothing": "--set label_smoothing=X",
    "--label-smoothing": "--set label_smoothing=X",
    "--model-ema": "--set ema=0.999",
    "--patience": "--set schedule.kind=plateau lowers the rate; a run goes to its end",
    "--num-classes": "the classes are those of the data",
    "--val-split": "--set val_fraction=X",
    "--data": "the data is an argument, without an option's name",
    "--data-dir": "the data is an argument, without an option's name",
    "--source": "the images are arguments, without an option's name",
}
_VERBS = {
    "val": "evaluate",
    "validate": "evaluate",
    "test": "evaluate",
    "eval": "evaluate",
    "fit": "train",
    "finetune": "train DATA --recipe finetune",
    "probe": "train DATA --recipe probe",
    "classify": "predict",
    "infer": "predict",
    "inference": "predict",
    "summary": "inspect",
    "info": "show",
    "ls": "list",
    "embed": "features",
    "download": "weights get",
    "fetch": "weights get",
    "cam": "explain",
}


@dataclass(frozen=True)
class OptionNames:
    """The options of one verb.

    Args:
        known: each spelling, and whether a value follows it.
        shown: the spellings that help lists.
    """

    known: Mapping[str, bool]
    shown: tuple[str, ...]

    @classmethod
    def of(cls, parameters: Iterable[Any]) -> OptionNames:
        """The options among typer's parameters."""
        options = [each for each in parameters if each.param_type_name == "option"]
        known = {
            name: not each.is_flag
            for each in options
            for name in (*each.opts, *each.secondary_opts)
        }
        shown = tuple(
            name
            for each in options
            if not each.hidden
            for name in (*each.opts, *each.secondary_opts)
        )
        return cls(known, shown)


def modern(verb: str, names: OptionNames, words: Sequence[str]) -> list[str]:
    """The words with the names that options have here and now.

    Args:
        verb: as it was typed.
        names: of its options.
        words: behind the verb.
    """
    renamed, changed = RENAMED.get(verb, {}), list(words)
    for place, word in enumerate(words):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if name not in names.known:
            new = renamed.get(name) or _SPELLINGS.get(name, name)
            changed[place] = (new if new in names.known else name) + equals + value
    return changed


def refuse_assignments(ctx: Any, parameters: Iterable[Any]) -> None:
    """Refuse `data=photos`, as some tools have it, in the place of an argument.

    Raises:
        WrongUse: there is one, and no file of this name.
    """
    for each in parameters:
        given = ctx.params.get(each.name)
        if each.param_type_name != "argument" or not isinstance(given, str):
            continue
        name, equals, value = given.partition("=")
        if equals and name.lower() == str(each.metavar).lower() and not os.path.exists(given):
            raise WrongUse(f"{given!r} has a name before it: write {value or each.metavar}")


def refuse_leftovers(ctx: Any, names: OptionNames, words: Sequence[str]) -> NoReturn:
    """Raise what is wrong with a word that nothing took.

    Raises:
        WrongUse: always; `epochs=3` was meant for an option.
    """
    field, equals, value = words[0].partition("=")
    option = modern(ctx.info_name or "", names, [f"--{field.replace('_', '-')}"])[0]
    if equals and option in names.known:
        said = f"write {option} {value}" if names.known[option] else f"write {option}"
    elif equals and _instead(option, names):
        said = _instead(option, names)
    elif equals and "--set" in names.known:
        said = f"write --set {words[0]}"
    else:
        said = f"expected {usage_of(ctx)}"
    raise WrongUse(f"unexpected argument {words[0]!r}: {said}")


def unknown_verb(ctx: Any, words: Sequence[str], known: Iterable[str]) -> NotFound:
    """The error for a verb that does not exist."""
    path, meant = ctx.command_path, _VERBS.get(words[0], "")
    if meant and f"backbones {meant}".startswith(path):
        hint = f" Did you mean {' '.join(['backbones', meant, *words[1:]])}?"
    else:
        hint = nearest(words[0], known, cutoff=0.6) or f" `{path} -h` lists all."
    return NotFound(f"there is no `{path} {words[0]}`.{hint}")


def usage_of(ctx: Any) -> str:
    """How a verb is called, in one line."""
    return " ".join(ctx.get_usage().removeprefix("Usage:").split())


def usage_line(error: Any, ctx: Any = None) -> str:
    """What is wrong with the words, as one line.

    Args:
        error: that typer's parser raised, a `typer.TyperException`.
        ctx: of the verb, where the error does not know it.
    """
    ctx = getattr(error, "ctx", None) or ctx
    option = getattr(error, "option_name", None)
    parameter = getattr(error, "param", None)
    if ctx is None:
        return str(error.format_message())
    if option is not None and hasattr(error, "possibilities"):
        return _unknown_option(ctx, option)
    if option is not None:
        return _misused_option(ctx, option)
    if parameter is not None and not error.message:
        return f"`{ctx.command_path}` needs {_name(parameter)}: expected {usage_of(ctx)}"
    if parameter is not None:
        return _bad_value(error, parameter)
    return str(error.format_message())


def _unknown_option(ctx: Any, option: str) -> str:
    names = OptionNames.of(ctx.command.get_params(ctx))
    instead = _instead(option, names)
    if instead:
        return f"`{ctx.command_path}` has no option {option}: {instead}"
    near = nearest(option, names.shown, cutoff=0.6) or f" `{ctx.command_path} -h` lists all."
    return f"`{ctx.command_path}` has no option {option}.{near}"


def _instead(option: str, names: OptionNames) -> str:
    """What another tool's option is here, if it can be said for this verb."""
    said = _ELSEWHERE.get(option, "")
    of_recipes = "--set" in said or "--recipe" in said
    return said if not of_recipes or "--recipe" in names.known else ""


def _misused_option(ctx: Any, option: str) -> str:
    for each in ctx.command.get_params(ctx):
        if each.param_type_name == "option" and option in each.opts and not each.is_flag:
            return f"{option} needs a value: expected {option} {_value_name(each)}"
    return f"{option} takes no value: expected {option} alone"


def _bad_value(error: Any, parameter: Any) -> str:
    """A value of the wrong kind, with pydantic's reason in our words."""
    from pydantic import ValidationError

    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return f"{_name(parameter)}: {error.message}"
    first = cause.errors(include_url=False)[0]
    return f"{_name(parameter)} is {first['input']!r}, {_expected(first)}"


def _expected(wrong: Mapping[str, Any]) -> str:
    kind, limits = wrong["type"], wrong.get("ctx", {})
    if kind in ("int_parsing", "int_from_float", "int_type"):
        return "expected a whole number"
    if kind in ("float_parsing", "float_type"):
        return "expected a number"
    if kind == "greater_than_equal":
        return f"expected {limits['ge']:g} or more"
    if kind == "less_than_equal":
        return f"expected {limits['le']:g} or less"
    _, one_of, choices = str(wrong["msg"]).partition(" is not one of ")
    if one_of:
        words = choices.rstrip(".").replace("'", "").split(", ")
        return (
            f"expected {', '.join(words[:-1])} or {words[-1]}.{nearest(str(wrong['input']), words)}"
        )
    return str(wrong["msg"]).replace("Input should be", "expected")


def _name(parameter: Any) -> str:
    """What a message calls an option or an argument."""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return _value_name(parameter)


def _value_name(parameter: Any) -> str:
    return str(parameter.metavar or "VALUE").rstrip(".")
