"""Checked options: the base of every options model, and the options of the training loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """Options of one entry: unknown fields, wrong types, NaN and infinity are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Training(Options):
    """Options of the training loop; SGD with step decay, optional augmentation by shifts and flips."""

    epochs: int = Field(10, ge=1)
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    decay_epochs: int | None = Field(None, ge=1)  # the rate falls by decay_factor after each so many epochs
    decay_factor: float = Field(0.1, gt=0, le=1)
    shift: int = Field(0, ge=0)  # images: random crop after zero padding by so many pixels
    flip: bool = False  # images: random horizontal flip, p = 0.5

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch (from 0): learning_rate · decay_factor^floor(epoch / decay_epochs)."""
        decays = epoch // self.decay_epochs if self.decay_epochs else 0
        return self.learning_rate * self.decay_factor**decays


def options_of(named: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a resolved `{name: …, options…}`."""
    return {key: value for key, value in named.items() if key != "name"}
