"""`backbones lr-find`: a learning rate to begin with, and the curve that it was read off."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backbones.cli.console import preparing, print_json, print_table, say
from backbones.cli.options import ComputeOptions, Data, OutputOptions, RecipeOptions, Seed

if TYPE_CHECKING:
    from backbones import FoundRate


def lr_find(
    data: Data,
    *,
    recipe: RecipeOptions,
    seed: Seed = None,
    lowest: Annotated[
        float, typer.Option("--from", metavar="X", help="First learning rate.")
    ] = 1e-6,
    highest: Annotated[float, typer.Option("--to", metavar="X", help="Last learning rate.")] = 10.0,
    steps: Annotated[
        int, typer.Option(metavar="N", help="Number of optimizer steps at most.")
    ] = 100,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The chart, .png or .svg.")
    ] = Path("lr-find.png"),
    compute: ComputeOptions,
    output: OutputOptions,
) -> None:
    """Suggest a learning rate.

    Trains a copy of the network for some steps while the rate rises from --from to --to, and finds
    where the loss falls fastest. Only the chart is kept.

    Examples:
        backbones lr-find photos --model resnet18 --recipe finetune
    """
    from backbones import find_learning_rate

    with preparing("rising rate", unit="steps") as bars:
        found = find_learning_rate(
            data,
            rates=(lowest, highest),
            steps=steps,
            progress=bars.working,
            downloading=bars.downloading,
            seed=seed,
            **asdict(recipe),
            **asdict(compute),
        )
    say(f"data: {found.data}")
    chart = found.draw(out)
    if output.json:
        print_json(as_json(found) | {"chart": str(chart)})
    else:
        tell(found, data, chart)


def as_json(found: FoundRate) -> dict[str, Any]:
    """What a program may want to know."""
    test = found.test
    return {
        "suggestion": test.suggestion,
        "lowest_loss_at": test.lowest_at,
        "recipe_lr": found.recipe.optimizer.lr,
        "rates": test.rates,
        "losses": test.losses,
        "ending": test.ending,
        **found.compute.to_json(),
    }


def tell(found: FoundRate, data: str, chart: Path) -> None:
    """The suggestion, beside the recipe's own rate."""
    test = found.test
    suggested = "none: the loss never fell" if test.suggestion is None else f"{test.suggestion:.2g}"
    print_table(
        ("figure", "value"),
        [
            ("suggested rate (steepest fall)", suggested),
            ("rate at the lowest loss", f"{test.lowest_at:.2g}"),
            (f"rate of recipe {found.recipe.name}", f"{found.recipe.optimizer.lr:g}"),
            ("steps", f"{len(test.rates)}: {test.ending}"),
        ],
    )
    say(f"chart: {chart}")
    if test.suggestion is not None:
        say(f"use it: backbones train {data} ... --lr {test.suggestion:.2g}")
