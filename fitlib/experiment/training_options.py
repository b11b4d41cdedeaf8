"""Options of the training loop."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from fitlib.options import Options

Optimizer = Literal["sgd", "adam", "radam"]


class Stage(Options):
    """A stage of a training, with a fresh optimiser; options that it leaves out are those of the training."""

    epochs: int = Field(ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    batch_size: int | None = Field(default=None, ge=2)
    optimizer: Optimizer | None = None
    frozen: bool = False  # only the network's head (and what a method adds) is trained; batch statistics still adapt
    part: str = "train"  # of the data set: train, or one of its extra parts
    measured: bool = True  # the test part is predicted after each epoch, and select may choose one of them


class Training(Options):
    """Options of the training loop: optimiser, step decay, augmentation, stages, selection, and how it computes."""

    epochs: int = Field(10, ge=1)  # passes over the training part
    batch_size: int = Field(64, ge=2)  # samples drawn for a step
    optimizer: Optimizer = "sgd"  # a fresh one for each stage
    learning_rate: float = Field(0.1, gt=0)  # of the first epoch
    momentum: float = Field(0.9, ge=0, lt=1)  # sgd only
    weight_decay: float = Field(5e-4, ge=0)  # added to the gradient (L2)
    decay_epochs: int | None = Field(None, ge=1)  # the rate falls by decay_factor after each so many epochs
    decay_factor: float = Field(0.1, gt=0, le=1)  # see decay_epochs
    shift: int = Field(0, ge=0)  # images: random crop after zero padding by so many pixels
    flip: bool = False  # images: random horizontal flip, p = 0.5
    crop: int | None = Field(None, ge=1)  # images: a part of so many pixels a side, random in training, else central
    stages: Annotated[list[Stage], Field(min_length=1)] | None = None  # instead of epochs, which is then their sum
    bits: int | None = Field(None, ge=1, le=8)  # images: cut to so many bits, then spread by uniform noise of one step
    noisy_predictions: bool = False  # noise for predictions too (the study), else half a step
    seeding: Literal["before-network", "after-network"] = "before-network"  # after (the study's S, Q1): starts differ
    reseed_stages: bool = False  # every stage starts with the first one's order, augmentation and dropout (the study's)
    select: Literal["last", "best-f1"] = "last"  # which epoch predicts; best: macro-F1 on the validation part
    measure_every: int = Field(1, ge=1)  # epochs between measurements; the last epoch always
    evaluation_batch: int = Field(1024, ge=1)  # rows a forward pass when predicting: it may touch the last bits
    training_mode_predictions: bool = False  # with the statistics of each evaluation_batch (the study's N-Base, Q9)
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: the network's products (autocast)
    channels_last: bool = False  # memory format of images and kernels
    compile: bool = False  # torch.compile of the network

    @model_validator(mode="before")
    @classmethod
    def _epochs_of_stages(cls, given: Any) -> Any:
        """Fill in `epochs`, where it is left out, with the sum of the stages' epochs."""
        if not isinstance(given, dict) or not isinstance(given.get("stages"), list) or "epochs" in given:
            return given
        lengths = [s.get("epochs") if isinstance(s, dict) else getattr(s, "epochs", 0) for s in given["stages"]]
        return {**given, "epochs": sum(lengths)} if lengths and all(isinstance(n, int) for n in lengths) else given

    @field_validator("stages")
    @classmethod
    def _sum_of_stages(cls, stages: list[Stage] | None, info: ValidationInfo) -> list[Stage] | None:
        """Raise ValueError where `epochs` is given as well and is not the sum of the stages' epochs."""
        epochs, total = info.data.get("epochs"), sum(stage.epochs for stage in stages or [])
        if stages is not None and epochs is not None and epochs != total:
            raise ValueError(f"the stages have {total} epochs, but training.epochs = {epochs}: leave one of them out")
        return stages

    def plan(self) -> list[Stage]:
        """Return the stages of the training: a single one where none are declared."""
        return list(self.stages) if self.stages else [Stage(epochs=self.epochs)]

    def of_stage(self, stage: Stage) -> Training:
        """Return the options that apply during a stage."""
        overrides = {name: getattr(stage, name) for name in ("learning_rate", "batch_size", "optimizer")}
        given = {name: value for name, value in overrides.items() if value is not None}
        return self.model_copy(update={**given, "epochs": stage.epochs, "stages": None})

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch (from 0): learning_rate · decay_factor^floor(epoch / decay_epochs)."""
        decays = epoch // self.decay_epochs if self.decay_epochs else 0
        return self.learning_rate * self.decay_factor**decays
