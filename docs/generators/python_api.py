"""Pages of the Python API: every public name, by autodoc, in the order of a working life."""

from __future__ import annotations

from pathlib import Path

import backbones
from generators.language import Lang, Words
from generators.markdown import contents, page

_INTRO = "The command line calls nothing but these: whatever it does, a few lines of Python do."
GROUPS = {
    "look": "names create show read_bundle inspect memory inspect_with_memory paint_field compare"
    " draw",
    "train": "open_data check_data recipe_names load_recipe view_recipe compare_recipes dump_recipe"
    " choose_recipe find_learning_rate train resume train_folds resume_folds holds_folds tune"
    " resume_tuning reproduce",
    "use": "protocol_names find_protocol load_protocol show_protocol open Classifier list_engines"
    " evaluate write_evaluation predict predict_files predict_parts explain write_explanations"
    " filters_image",
    "features": "extract_features features_to_file dense perceptual_loss tap as_backbone stylize",
    "ship": "serve quantize export verify_export write_export_report write_playground start_demo"
    " predict_demo",
    "weights": "published_weights shipped_weights get_weights verify_weights import_weights"
    " convert_weights choose_compute keep_large_buffers cache_folder",
}
TITLES = {
    "look": "Look at networks",
    "train": "Train",
    "use": "Evaluate and predict",
    "features": "Features and dense maps",
    "ship": "Ship",
    "weights": "Weights and the machine",
    "types": "Types",
}


def write(docs: Path, lang: Lang) -> None:
    """A page a group, and one of the types; whatever is public and in no group is on that one."""
    say, folder = Words(lang), docs / lang / "know" / "python"
    grouped = {name for names in GROUPS.values() for name in names.split()}
    rest = [n for n in backbones.__all__ if n not in grouped and not n.startswith("__")]
    groups = {**{key: names.split() for key, names in GROUPS.items()}, "types": rest}
    for key, names in groups.items():
        parts = [part for name in names for part in _entry(name)]
        text = page(say(TITLES[key]), parts)
        (folder / f"{key}.md").write_text(text, encoding="utf-8")
    text = page(say("Python API"), [say(_INTRO), ""], contents(list(groups), hidden=False))
    (folder / "index.md").write_text(text, encoding="utf-8")


def _entry(name: str) -> list[str]:
    found = getattr(backbones, name)
    kind = "autoclass" if isinstance(found, type) else "autofunction"
    members = (
        [":members:"] if isinstance(found, type) and not issubclass(found, BaseException) else []
    )
    home = f"{found.__module__}.{found.__name__}"
    return [
        f"## `{name}`",
        "",
        "```{eval-rst}",
        f".. {kind}:: {home}",
        *(f"   {m}" for m in members),
        "```",
        "",
    ]
