"""What a search leaves: the best recipe, tables and charts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from backbones.files import write_atomic
from backbones.report.trials import TrialPoint, draw_history, draw_slices
from backbones.text import spelled
from backbones.training.as_toml import recipe_toml
from backbones.training.recipe import Recipe
from backbones.workflows.tuning.book import TrialBook, TrialRow, ranked
from backbones.workflows.tuning.sampler import SearchPlan, importances
from backbones.workflows.tuning.search import Choice, Search, settings_of

FIGURE_NAMES = {"top1_error_percent": "validation error (%)", "loss": "validation loss"}


@dataclass(frozen=True)
class TunedFiles:
    """Everything that was written.

    Args:
        best: a recipe file.
        table: every trial, as CSV.
        charts: how the search went, and what each field did.
        importances: share of the spread that each field explains; empty where it cannot be told.
    """

    best: Path
    table: Path
    charts: tuple[Path, ...]
    importances: dict[str, float]


def write_results(
    folder: Path, plan: SearchPlan, book: TrialBook, recipe: Recipe, title: str
) -> TunedFiles | None:
    """Write `best.toml`, `trials.csv`, `history.png` and `parameters.png`.

    Args:
        folder: of the study.
        plan, book: of the study.
        recipe: with the best trial's parameters.
        title: of the charts.

    Returns:
        The files; None where no trial finished: then only the table is written.
    """
    table = book.write_csv([search.field for search in plan.searches])
    best = next(iter(ranked(book.rows, plan.monitor)), None)
    if best is None:
        return None
    shares = importances(plan, book.rows)
    points = _points(book, plan)
    name = FIGURE_NAMES[plan.monitor]
    charts = (
        draw_history(points, folder / "history.png", figure_name=name, title=title),
        draw_slices(
            points,
            folder / "parameters.png",
            axes_of={search.field: _axis(search) for search in plan.searches},
            importances=shares,
            figure_name=name,
            title=title,
        ),
    )
    return TunedFiles(_write_recipe(folder, plan, book, recipe, best), table, charts, shares)


def _write_recipe(
    folder: Path, plan: SearchPlan, book: TrialBook, recipe: Recipe, best: TrialRow
) -> Path:
    """The best trial's recipe, which says where it comes from."""
    found = best.best(plan.monitor)
    assert found is not None  # a finished trial was evaluated
    said = (
        f"{found.top1_error_percent:.2f} % validation error, loss {found.loss:.4f}, in epoch"
        f" {found.epoch} of trial {best.number}; the best of {len(book.rows)} trials, so the"
        " error on other images is likely to be higher"
    )
    named = recipe.model_copy(
        update={
            "name": f"{recipe.name.removesuffix('_tuned')}_tuned",
            "source": f"backbones tune: {'; '.join(map(str, plan.searches))}; seed {plan.seed}",
            "expected": said,
        }
    )
    comments = [f"searched: {text}" for text in settings_of(plan.searches, best.parameters)]
    path = folder / "best.toml"
    write_atomic(path, spelled(recipe_toml(named, comments)).encode())
    return path


def _axis(search: Search) -> str | tuple[str, ...]:
    if isinstance(search, Choice):
        return search.values
    return "log" if search.log else "linear"


def _points(book: TrialBook, plan: SearchPlan) -> list[TrialPoint]:
    """The trials that measured something finite."""
    points = []
    for row in book.rows:
        best = row.best(plan.monitor)
        value = math.nan if best is None else float(getattr(best, plan.monitor))
        if math.isfinite(value) and row.state in ("finished", "pruned", "diverged"):
            measured = tuple(float(getattr(one, plan.monitor)) for one in row.measured)
            finished = row.state == "finished"
            points.append(TrialPoint(row.number, value, finished, row.parameters, measured))
    return points
