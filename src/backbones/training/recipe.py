"""The schema of a training recipe: one whole, flat, frozen object.

A recipe says everything that decides the numbers of a run. Recipes do not inherit from each
other; what is not written takes the default that stands here. `auto` and empty fields are
filled by `resolve`, and the filled recipe, written into the run folder, is a recipe file itself.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from backbones.data.augment import Augment
from backbones.units import Length

Auto = Literal["auto"]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Alpha = Annotated[float, Field(ge=0.05, le=1)]


def _read_length(value: object) -> object:
    """Text becomes a length; pydantic reports a ValueError with the field's place in front."""
    if isinstance(value, Length):
        return value
    if not isinstance(value, str):
        raise ValueError("expected a number and a unit, such as 10epochs")
    return Length.parse(value)


def _read_list(value: object) -> object:
    """One text where a list is expected is a list of one; commas separate several."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


LengthText = Annotated[
    Length,
    BeforeValidator(_read_length),
    PlainSerializer(str, return_type=str),
]
Lengths = Annotated[tuple[LengthText, ...], BeforeValidator(_read_list)]
Matches = Annotated[tuple[str, ...], BeforeValidator(_read_list)]


class RecipeTable(BaseModel):
    """A frozen group of recipe fields that knows no others."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False
    )


class Optimizer(RecipeTable):
    """What turns gradients into steps.

    Args:
        kind: sgd, adam, adamw (weight decay apart from the gradient), rmsprop, or rmsprop_tf
            (TensorFlow's, which the recipes of Inception and EfficientNet mean: `eps` inside the
            root, a running square that begins at 1, steps that carry their own learning rate).
        lr: learning rate, before the schedule and the parts scale it.
        momentum: sgd, rmsprop and rmsprop_tf.
        nesterov: sgd; look ahead along the momentum.
        betas: adam and adamw; decay of the running mean and of the running square.
        alpha: rmsprop and rmsprop_tf; decay of the running square.
        eps: adam, adamw and rmsprop: added to the root of the running square; rmsprop_tf: added
            to the square under the root.
        weight_decay: pull towards zero, on the weights of convolutions and linear layers.
        decay_norm: pull on the scales and shifts of normalisation layers too.
        decay_bias: pull on biases too.
        fused: one kernel for the whole update (sgd, adam, adamw); auto = where there is one.
    """

    kind: Literal["sgd", "adam", "adamw", "rmsprop", "rmsprop_tf"] = "sgd"
    lr: Positive = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    betas: tuple[Share, Share] = (0.9, 0.999)
    alpha: Share = 0.9
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.0
    decay_norm: bool = True
    decay_bias: bool = True
    fused: bool | Auto = "auto"

    @model_validator(mode="after")
    def _looks_ahead_along_something(self) -> Optimizer:
        if self.kind == "sgd" and self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class Schedule(RecipeTable):
    """How the learning rate moves: every kind multiplies `optimizer.lr` by a factor.

    Args:
        kind: constant; step (times `gamma` every `every`); multistep (times `gamma` at each of
            `milestones`); piecewise (from each of `milestones` on, its own of `factors`);
            plateau (times `gamma` when evaluations stop improving); cosine (half a wave from 1
            down to `floor`); poly ((1 - share of the run done) to the power of `power`).
        warmup: how long the run warms up, with every kind.
        warmup_from: the factor of the very first step.
        warmup_shape: linear (a straight line from `warmup_from` to 1) or constant
            (`warmup_from` until the warm-up is over).
        every: step only.
        milestones: multistep and piecewise; measured from the start of the run.
        factors: piecewise; one for each milestone, times `optimizer.lr`; 1 before the first.
        power: poly; 1 is a straight line to 0.
        gamma: step, multistep and plateau.
        monitor: plateau; the figure of the evaluation that should fall.
        patience: plateau; evaluations without improvement that are borne before a drop.
        threshold: plateau; the share by which the figure must fall to count as improved.
        floor: plateau and cosine; the smallest factor.
    """

    kind: Literal["constant", "step", "multistep", "piecewise", "plateau", "cosine", "poly"] = (
        "constant"
    )
    warmup: LengthText = Length(0, "steps")
    warmup_from: Share = 0.01
    warmup_shape: Literal["linear", "constant"] = "linear"
    every: LengthText = Length(30, "epochs")
    milestones: Lengths = (Length(50, "percent"), Length(75, "percent"))
    factors: tuple[Positive, ...] = ()
    power: Positive = 1.0
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    monitor: Literal["top1_error_percent", "loss"] = "top1_error_percent"
    patience: Annotated[int, Field(ge=0)] = 3
    threshold: Share = 1e-4
    floor: Share = 0.0

    @model_validator(mode="after")
    def _has_a_factor_for_each_milestone(self) -> Schedule:
        if self.kind == "piecewise" and len(self.factors) != len(self.milestones):
            raise ValueError(
                f"piecewise has {len(self.milestones)} milestones and {len(self.factors)}"
                " factors, expected as many"
            )
        return self


class ParameterGroup(RecipeTable):
    """A learning rate for a part of the network.

    Args:
        match: `head` (the layer that names the classes), `old` (all but the head), `norm`
            (normalisation layers), a module such as `features`, or a pattern such as `*.bias`.
        lr_scale: times the learning rate; 0.1 is what the tutorials give the old layers.
    """

    match: str
    lr_scale: NotNegative


class Input(RecipeTable):
    """How an image becomes what the network sees; each empty field is filled from the network
    and the data.

    Args:
        size: px, the side of the square that the network sees.
        resize: px, the shorter side before the evaluation crop.
        channels: 1 (grey) or 3 (RGB).
        mean, std: per channel on the scale 0..1.
        interpolation: of the resize.
    """

    size: Count | None = None
    resize: Count | None = None
    channels: Literal[1, 3] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[Positive, ...] | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic"] | None = None


class Probe(RecipeTable):
    """A linear probe, which a head can begin with: logistic regression on what a trained trunk
    makes of the training images, standardised, by L-BFGS.

    Args:
        views: of each image: none (no probe: the head's first weights are random, or those that
            were given), plain, mirrored (plain and mirrored), or ten_crop.
        penalties: to choose from: times half the squared weights, beside the mean loss.
        folds: parts of the cross-validation by which the penalty is chosen, for the lowest loss.
        limit: images that are looked at, sampled by the seed; none = all.
    """

    views: Literal["plain", "mirrored", "ten_crop"] | None = None
    penalties: Annotated[tuple[Positive, ...], Field(min_length=1)] = (
        *(3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001),
    )
    folds: Annotated[int, Field(ge=2)] = 5
    limit: Count | None = 20000


PUBLIC = "public"
"""Said in place of weights: the network's own from the table of published ones."""


class Recipe(RecipeTable):
    """Everything that decides the numbers of a training run.

    Args:
        name: what the recipe is called.
        summary: one sentence: what it is for.
        source: where it was printed or measured.
        expected: the result that was printed or measured, and with what.
        model: the network, as the catalog names it.
        weights: id or file of weights, or a bundle, to start from; none = random; public = the
            network's own from the table of weights (see `backbones.weights.table.usual`), which
            the resolved recipe names.
        init_from: run, bundle or id of a trained network some layers of which are taken over, by
            the paper's names, before training (staged training: Simonyan & Zisserman 2015,
            section 3.1); the two networks may differ.
        init_layers: which layers, as patterns over the paper's names, such as conv1_1 or fc*;
            empty = every layer that both networks have in one shape.
        probe: table of its own: whether the head begins as a linear probe on the trunk.
        seed: of everything random: initial weights, order, augmentation, dropout.
        length: of the run, such as 10epochs or 370000steps; 0epochs keeps the probe as it is.
        patience: evaluations without improvement after which the run ends before its length; none
            = it never does.
        limit: use only so many images of each split, sampled by the seed; none = all.
        layout: how the data is laid out, by a name of `data.sets.LAYOUTS`; none = looked at.
        label_pattern: a regular expression whose first group, in an image's path below the data,
            is its class; none = the layout tells.
        val_fraction: share of each class that is held out of the training images to choose
            the best weights by, where the data has no "val" of its own. With 0, all images
            are learned from, and the "test" part is only watched.
        test_fraction: share of each class that is held out besides, as "test", where the data has
            neither "val" nor "test" of its own; it chooses nothing, and is measured once, at the
            end. 0 = no such part; nor is there one without `val_fraction`, with `folds`, or where
            a class has fewer than five images.
        folds: train that many networks, each on all but one of so many stratified parts of the
            training images ("train" and "val" together), so that every one of them is held out
            exactly once; "test" is left alone. none = one network, and `val_fraction` counts.
        fold: the part that this network holds out as "val", 1 to `folds`; none = each in turn.
        batch_size: images in one optimiser step.
        accumulate: parts that a batch is computed in, one after the other, to save memory;
            the gradient is that of the whole batch (batch norm sees a part at a time).
        optimizer, schedule: tables of their own.
        parts: learning rates of parts; the first match counts.
        freeze: parts (as `Part.match`) whose parameters and buffers stay byte for byte.
        label_smoothing: share of the target spread evenly over all classes.
        mixup: alpha of the Beta distribution, 0.05 to 1; each batch is mixed with itself, one
            image on, and so are its targets (Zhang et al. 2018); none = not mixed.
        cutmix: alpha, 0.05 to 1; a rectangle of each image comes from another one of the batch
            (Yun et al. 2019). With mixup too, each batch gets one of the two, by even chance.
        clip_norm: largest Euclidean norm of the whole gradient; none = not clipped.
        sync_norm: batch norm sees the whole batch of all processes, and not each its part.
        class_weights: none, balanced (each class counts the same in total), or a weight per
            class name (1 where a class is not named).
        ema: decay of a running average of the weights, evaluated and kept instead of them;
            at step n the decay is min(ema, (1 + n) / (10 + n)); none = no average.
        polyak_from: the plain mean of the weights after every step from here on, evaluated and
            kept instead of the last ones (Polyak & Juditsky 1992); none = no average.
        augment: what happens to training images; an empty `resize` takes the input's.
        input: what the network sees.
        device: where to train.
        precision: fp32, or bf16 products with fp32 weights.
        threads: of one operation on the CPU; none = as PyTorch has it.
        channels_last: memory order of activations.
        deterministic: on a GPU, only kernels that give the same bits each time, which an exact
            resume needs; false takes the fastest ones. A CPU always repeats itself.
        compile: hand the network to torch.compile.
        large_buffers: keep freed memory in the process (see `speed.keep_large_buffers`).
        evaluate_every, checkpoint_every: every epoch and evaluation leaves a checkpoint too.
        workers: threads that decode; none = measured or guessed by the pipeline.
        cache: keep a decoded copy of photo folders.
    """

    name: str = "custom"
    summary: str = ""
    source: str = ""
    expected: str = ""
    model: str = "lenet5"
    weights: str | None = None
    init_from: str | None = None
    init_layers: Matches = ()
    probe: Probe = Probe()
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    length: LengthText = Length(10, "epochs")
    patience: Count | None = None
    limit: Count | None = None
    layout: str | None = None
    label_pattern: str | None = None
    val_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    folds: Annotated[int, Field(ge=2)] | None = None
    fold: Count | None = None
    batch_size: Count = 32
    accumulate: Count = 1
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    parts: tuple[ParameterGroup, ...] = ()
    freeze: Matches = ()
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mixup: Alpha | None = None
    cutmix: Alpha | None = None
    clip_norm: Positive | None = None
    sync_norm: bool = False
    class_weights: Literal["none", "balanced"] | dict[str, NotNegative] = "none"
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    polyak_from: LengthText | None = None
    augment: Augment = Augment()
    input: Input = Input()
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: Count | None = None
    channels_last: bool | Auto = "auto"
    deterministic: bool = True
    compile: bool = False
    large_buffers: bool | Auto = "auto"
    evaluate_every: LengthText = Length(1, "epochs")
    checkpoint_every: LengthText = Length(1, "epochs")
    workers: Annotated[int, Field(ge=0)] | None = None
    cache: bool = False

    @model_validator(mode="after")
    def _has_a_length(self) -> Recipe:
        for field in ("length", "evaluate_every", "checkpoint_every"):
            nothing_left = field == "length" and self.probes
            if getattr(self, field).amount <= 0 and not nothing_left:
                raise ValueError(f"{field} must be longer than nothing")
        if self.length.unit == "percent":
            raise ValueError("length cannot be a share of itself; use epochs, steps or examples")
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate {self.accumulate} parts cannot come out of batch_size"
                f" {self.batch_size}"
            )
        return self

    @model_validator(mode="after")
    def _has_the_fold(self) -> Recipe:
        if self.fold is not None and (self.folds is None or self.fold > self.folds):
            raise ValueError(f"there is no fold {self.fold} of {self.folds or 'no folds'}")
        if self.folds and self.limit is not None and self.limit < self.folds:
            raise ValueError(f"limit {self.limit} leaves some of {self.folds} folds empty")
        return self

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> Recipe:
        if self.ema is not None and self.polyak_from is not None:
            raise ValueError("ema and polyak_from are two averages of the weights; keep one")
        if self.weights is not None and self.init_from is not None:
            raise ValueError("weights and init_from both say where to start; keep one")
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction leave nothing to learn from")
        if (self.mixup or self.cutmix) and self.class_weights != "none":
            raise ValueError("mixup and cutmix mix classes, so class_weights cannot apply")
        return self

    @property
    def probes(self) -> bool:
        """Whether the head begins as a linear probe."""
        return self.probe.views is not None

    @property
    def only_probes(self) -> bool:
        """Whether the probe is all: nothing is trained by gradients."""
        return self.probes and self.length.amount == 0

    @property
    def trains_folds(self) -> bool:
        """Whether a network is trained for every fold, rather than one."""
        return self.folds is not None and self.fold is None

    def to_json(self) -> dict[str, Any]:
        """Plain values, as they stand in a recipe file."""
        return self.model_dump(mode="json")


def smoke(recipe: Recipe) -> Recipe:
    """The same recipe made tiny, to see in seconds that everything fits together.

    Sixteen images, two epochs of four steps, evaluated and saved once an epoch. Network,
    optimiser, schedule, augmentation and precision stay as they are.
    """
    batch_size = min(recipe.batch_size, 4)
    limit = 4 * batch_size
    if recipe.folds:  # so that as many are left to learn from, and no fold is empty
        limit = max(-(-limit * recipe.folds // (recipe.folds - 1)), recipe.folds)
    tiny = {
        "length": recipe.length if recipe.only_probes else Length(2, "epochs"),
        "limit": limit,
        "batch_size": batch_size,
        "accumulate": min(recipe.accumulate, batch_size),
        "evaluate_every": Length(1, "epochs"),
        "checkpoint_every": Length(1, "epochs"),
        "cache": False,
    }
    return recipe.model_copy(update=tiny)
