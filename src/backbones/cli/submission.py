"""The options of `predict` that write a competition's file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backbones.errors import WrongUse

if TYPE_CHECKING:
    from backbones.api.prediction import Submission

PANEL = "Submission to a competition"


@dataclass(frozen=True)
class SubmissionOptions:
    """What the options say of a submission; a field for each."""

    submission: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Write the submission here.", rich_help_panel=PANEL),
    ] = None
    template: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="The competition's sample; its rows are filled, in its order.",
            rich_help_panel=PANEL,
        ),
    ] = None
    columns: Annotated[
        str, typer.Option(metavar="A,B", help="Names of the columns.", rich_help_panel=PANEL)
    ] = "id,label"
    probability_of: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS", help="Write this class's probability.", rich_help_panel=PANEL
        ),
    ] = None
    all_probabilities: Annotated[
        bool,
        typer.Option(
            "--all-probabilities", help="Write a column per class.", rich_help_panel=PANEL
        ),
    ] = False
    class_as: Annotated[
        Literal["name", "number"] | None,
        typer.Option(help="How the top class is written.", rich_help_panel=PANEL),
    ] = None
    clip: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="Keep probabilities between P and 1 - P.", rich_help_panel=PANEL
        ),
    ] = None

    @property
    def wanted(self) -> Submission:
        """What the competition wants, as far as the options say it.

        Raises:
            WrongUse: two kinds of answer at once, a number of columns that does not fit, or --clip
                where no probability is written.
        """
        from backbones import Submission

        names = tuple(name.strip() for name in self.columns.split(","))
        kinds = (self.probability_of is not None, self.all_probabilities, self.class_as is not None)
        if sum(kinds) > 1:
            raise WrongUse(
                "--probability-of, --all-probabilities and --class-as exclude each other;"
                " choose one"
            )
        if self.all_probabilities:
            return Submission("all", header=names[:1], clip=self.clip)
        if len(names) != 2:
            raise WrongUse(f"--columns has {len(names)} names, expected two, such as id,label")
        if self.clip is not None and self.probability_of is None and self.template is None:
            raise WrongUse("--clip is for probabilities; say which: --probability-of CLASS")
        return Submission(
            "label" if self.probability_of is None else "probability",
            self.probability_of,
            header=names,
            class_as=self.class_as,
            clip=self.clip,
        )

    def refuse_without_file(self) -> None:
        """Options of a submission where none is written.

        Raises:
            WrongUse: there are some.
        """
        if self.template is not None or self.clip is not None or self.class_as is not None:
            raise WrongUse("--template, --clip and --class-as are for --submission FILE")
