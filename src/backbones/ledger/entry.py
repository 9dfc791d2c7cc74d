"""The schema of a row of the ledger."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LedgerTable(BaseModel):
    """A frozen group of fields that knows no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Measure(LedgerTable):
    """One way in which an arm is measured.

    Args:
        protocol: its name.
        settings: `field=value` each, on top of the protocol.
        called: in tables; the protocol's name where empty.
    """

    protocol: str = "single"
    settings: tuple[str, ...] = ()
    called: str = ""

    @property
    def label(self) -> str:
        """What tables call it."""
        return self.called or self.protocol


class PrintedFigure(LedgerTable):
    """A number that somebody printed.

    Args:
        top1_error_percent: as printed, or 100 less the accuracy.
        on: the data that it was measured on, and how.
        where: section or table.
        measure: label of the arm's measure that it belongs to; all where empty.
    """

    top1_error_percent: Annotated[float, Field(ge=0, le=100)]
    on: str
    where: str
    measure: str = ""


class Arm(LedgerTable):
    """One network of a row.

    Args:
        name: within the row.
        model: a variant; the recipe's own where None.
        recipe: that it is trained with; None for published weights.
        settings: `field=value` each: what differs from the recipe, seeds excepted.
        weights: id of weights to load and measure, or to begin with where there is a recipe.
        init_from: the arm of this row whose layers it takes over (staged training).
        measures: how it is measured.
        printed: what others got.
    """

    name: str
    model: str | None = None
    recipe: str | None = None
    settings: tuple[str, ...] = ()
    weights: str | None = None
    init_from: str | None = None
    measures: tuple[Measure, ...] = (Measure(),)
    printed: tuple[PrintedFigure, ...] = ()

    @model_validator(mode="after")
    def _is_trained_or_loaded(self) -> Arm:
        if self.recipe is None and self.weights is None:
            raise ValueError(f"arm {self.name} has neither a recipe nor weights")
        if not self.measures:
            raise ValueError(f"arm {self.name} is never measured")
        return self

    def label(self, measure: Measure) -> str:
        """What tables call a figure of this arm."""
        return self.name if len(self.measures) == 1 else f"{self.name}, {measure.label}"


class Expectation(LedgerTable):
    """What the paper says about two figures.

    Args:
        figure: label of a figure.
        is_: "lower": its error is lower than the other's; "not lower": the other's is as low.
        than: label of the other figure.
        margin: percent points that "not lower" may be lower by and still count as as high.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    figure: str
    is_: Annotated[Literal["lower", "not lower"], Field(alias="is")]
    than: str
    margin: Annotated[float, Field(gt=0)] = 1.0


class Entry(LedgerTable):
    """A row of the ledger.

    Args:
        id: such as `resnet/residual`.
        claim: one sentence: what the paper or tutorial says.
        source: where it says so.
        data: the set that the row is about, by name; where no set of this name can be
            downloaded, the user says where it is.
        runs: with so many seeds, 0 and up.
        shortened: how this differs from the paper; empty where it doesn't.
        arms: the networks, in an order in which `init_from` comes before its use.
        expectations: what the claim means for the figures.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9_]+/[a-z0-9_]+$")]
    claim: str
    source: str
    data: str
    runs: Annotated[int, Field(ge=1)] = 1
    shortened: str = ""
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    expectations: tuple[Expectation, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Of all figures, in the order of the arms."""
        return tuple(arm.label(measure) for arm in self.arms for measure in arm.measures)

    def printed_for(self, label: str) -> tuple[PrintedFigure, ...]:
        """What others got where the row has this figure."""
        return tuple(
            number
            for arm in self.arms
            for measure in arm.measures
            if arm.label(measure) == label
            for number in arm.printed
            if number.measure in ("", measure.label)
        )

    @model_validator(mode="after")
    def _names_what_it_has(self) -> Entry:
        seen: set[str] = set()
        for arm in self.arms:
            if arm.init_from is not None and arm.init_from not in seen:
                raise ValueError(f"arm {arm.name} starts from {arm.init_from}, no arm before it")
            seen.add(arm.name)
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("two figures have one name")
        for expected in self.expectations:
            for label in (expected.figure, expected.than):
                if label not in self.labels:
                    raise ValueError(f"no figure {label!r}; there are {', '.join(self.labels)}")
        return self
