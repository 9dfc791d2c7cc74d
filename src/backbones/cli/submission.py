"""The options of `predict` that make a competition's file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backbones.errors import WrongUse

if TYPE_CHECKING:
    from backbones.api.prediction import Submission

SubmissionFile = Annotated[
    Path | None,
    typer.Option("--submission", metavar="CSV", help="Write a competition's file here."),
]
Sample = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        help="Submission: the competition's sample; its rows are filled, in its order.",
    ),
]
Columns = Annotated[str, typer.Option(help="Submission: the names of its columns.")]
ProbabilityOf = Annotated[
    str | None, typer.Option(metavar="CLASS", help="Submission: write this probability.")
]
AllProbabilities = Annotated[
    bool, typer.Option("--all-probabilities", help="Submission: write a column a class.")
]
ClassAs = Annotated[
    Literal["name", "number"] | None,
    typer.Option(help="Submission: write the likeliest class so."),
]
Clip = Annotated[
    float | None,
    typer.Option(metavar="P", help="Submission: keep probabilities between P and 1 - P."),
]


@dataclass(frozen=True)
class Said:
    """What the options say of a submission; a field for each."""

    columns: str
    probability_of: str | None
    all_probabilities: bool
    class_as: Literal["name", "number"] | None
    clip: float | None
    template: Path | None

    def submission(self) -> Submission:
        """What the competition wants, as far as the options say it.

        Raises:
            WrongUse: two kinds of answer at once, a number of columns that does not fit, or --clip
                where no probability is written.
        """
        from backbones.api.prediction import Submission

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
