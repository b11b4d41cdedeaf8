"""The registry of training methods and their options."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fitlib.experiment.registry.entries import Entry
from fitlib.options import Options

ClassWeights = Literal["none", "clamped", "study"]  # samples without / with a class; study: unguarded


class OversamplingOptions(Options):
    """Options of `oversampling`."""

    max_copies: int | None = Field(None, ge=1)  # at most so many copies of one sample; null: as many as balance needs


class BaselineOptions(Options):
    """Options of `baseline`."""

    class_weights: ClassWeights = "none"  # of each class in the loss; study: without a guard against empty classes


class UniformConfusionOptions(Options):
    """Options of `uniform-confusion`."""

    ratio: int = Field(3, ge=1)  # one epoch in so many trains features and class head, the others the domain head
    alpha: float = Field(1.0, ge=0)  # weight of the confusion


class GradientProjectionOptions(Options):
    """Options of `gradient-projection`."""

    ratio: int = Field(3, ge=1)  # the network is trained in one epoch in so many, the domain head in all
    alpha: float = Field(1.0, ge=0)  # weight of the reversed domain gradient
    order: Literal["both-first", "study"] = "both-first"  # study: the domain head steps before its gradient is taken


class DomainDiscriminativeOptions(Options):
    """Options of `domain-discriminative`: of its rule `rba`."""

    margin: float = Field(0.05, ge=0, lt=1)  # a group's share of those predicted y: at most 1 / groups + margin
    rate: float = Field(3.0, gt=0)  # of the multipliers
    rounds: int = Field(100, ge=1)  # at most so many


class RatioBalancedOptions(Options):
    """Options of `ratio-balanced`."""

    ratio: float = Field(1.0, ge=1)  # no group has more than so many times another one's samples of a class
    subset_seed: int = Field(0, ge=0)  # of the draw
    missing: Literal["error", "drop"] = "error"  # a class that a group never shows: refuse, or leave its samples out
    class_weights: ClassWeights = "none"  # of each class in the loss; study: without a guard against empty classes


class MapAdversaryOptions(Options):
    """Options of `map-adversary`."""

    layer: str | None = None  # name of the network's map, such as layer3; null: the last one
    strength: float = Field(1.0, ge=0)  # of the reversal: the gradient is multiplied by -strength
    per_group: int | None = Field(None, ge=2)  # first so many samples of each group in a batch; null: the whole batch
    hidden: int = Field(300, ge=1)  # width of the adversary's hidden layers
    class_weights: ClassWeights = "none"  # of each class in the loss; study: without a guard against empty classes


class GroupLossPenaltyOptions(Options):
    """Options of `group-loss-penalty`."""

    eta: float = Field(20.0, ge=0)  # weight of the penalty
    growth: float = Field(1.01, gt=0)  # eta is multiplied by it at the start of each epoch
    positive: int = Field(1, ge=0)  # number of the favourable class


class FairALMOptions(GroupLossPenaltyOptions):
    """Options of `fair-alm`."""

    inner_steps: int = Field(5, ge=1)  # on each batch, before the duals move
    duals: Literal["simultaneous", "study"] = "simultaneous"  # study: one after the other


class NullSamplingOptions(Options):
    """Options of `null-sampling`."""

    levels: int = Field(3, ge=1)  # of the flow; each halves height and width
    blocks: int = Field(32, ge=0)  # pairs of 1x1 convolution and coupling in each level
    hidden: int = Field(512, ge=1)  # channels inside a coupling's network
    share: float = Field(0.001, gt=0, lt=1)  # of the latents that hold the group; at least one does
    weight: float = Field(0.01, ge=0)  # of the discriminators' loss
    discriminators: int = Field(10, ge=1)  # how many read the group off the latents
    discriminator_width: int = Field(512, ge=1)  # of their hidden layers
    restart: float = Field(1 / 5000, ge=0, le=1)  # probability, after a step, that a discriminator starts anew
    iterations: int | None = Field(None, ge=1)  # at most so many steps of the flow
    check_every: int = Field(1000, ge=1)  # steps between checks of the flow's loss on the training part
    patience: int | None = Field(None, ge=0)  # the flow stops after more checks without improvement; null: no checks


METHODS = {
    "baseline": Entry(
        "fitlib.training.methods.baseline:Baseline",
        "cross entropy on the training set as it is",
        BaselineOptions,
        rules={"argmax": "no", "threshold": "no"},
        label="S-Base, C-Base, I-Base, A-Base, N-Base",
    ),
    "oversampling": Entry(
        "fitlib.training.methods.oversampling:Oversampling",
        "cross entropy on a training set in which the rarer groups of each class are repeated",
        OversamplingOptions,
        rules={"argmax": "training"},
        reference="Wang et al., CVPR 2020, strategic sampling",
        label="S-RS",
    ),
    "domain-independent": Entry(
        "fitlib.training.methods.domain_independent:DomainIndependent",
        "one shared network, one classifier per protected group",
        rules={"conditional": "prediction", "sum": "training"},
        reference="Wang et al., CVPR 2020, domain-independent training",
        label="S-DI1, S-DI2",
    ),
    "domain-discriminative": Entry(
        "fitlib.training.methods.domain_discriminative:DomainDiscriminative",
        "one softmax over all pairs of group and class; four ways to infer the class from it",
        DomainDiscriminativeOptions,
        rules={
            **dict.fromkeys(("sum-no-prior-shift", "max-prior-shift", "sum-prior-shift"), "training"),
            "rba": "prediction",
        },
        reference="Wang et al., CVPR 2020; rba: Zhao et al., EMNLP 2017",
        label="S-DD1, S-DD2, S-DD3, S-DD4",
        needs="one class for each row",
    ),
    "uniform-confusion": Entry(
        "fitlib.training.methods.uniform_confusion:UniformConfusion",
        "an adversary reads the group off the features, which learn to leave it undecided",
        UniformConfusionOptions,
        rules={"argmax": "training", "threshold": "training"},
        reference="Wang et al., CVPR 2020, after Tzeng et al., ICCV 2015",
        label="S-UC",
    ),
    "gradient-projection": Entry(
        "fitlib.training.methods.gradient_projection:GradientProjection",
        "the class gradient loses its component along an adversary's gradient, which is then reversed",
        GradientProjectionOptions,
        rules={"argmax": "training", "threshold": "training"},
        reference="Zhang, Lemoine & Mitchell, AIES 2018",
        label="S-GR",
    ),
    "ratio-balanced": Entry(
        "fitlib.training.methods.ratio_balanced:RatioBalanced",
        "the baseline on a subset in which no class shows one group much more often than another",
        RatioBalancedOptions,
        rules={"argmax": "training", "threshold": "training"},
        reference="Wang et al., ICCV 2019 (Balanced Datasets Are Not Enough)",
        label="C-R1, C-R2, C-R3, I-R1, I-R2, I-R3",
    ),
    "map-adversary": Entry(
        "fitlib.training.methods.map_adversary:MapAdversary",
        "an adversary on a convolutional map, whose reversed gradient makes the network hide the group",
        MapAdversaryOptions,
        rules={"argmax": "training", "threshold": "training"},
        reference="Wang et al., ICCV 2019, after Ganin & Lempitsky, ICML 2015",
        label="C-A4, C-A5, I-A4, I-A5",
        needs="a network with intermediate maps",
        needs_images=True,
    ),
    "group-loss-penalty": Entry(
        "fitlib.training.methods.group_loss_penalty:GroupLossPenalty",
        "the squared gap between two groups' losses on the favourable class is added to the loss",
        GroupLossPenaltyOptions,
        rules={"argmax": "training"},
        reference="Lokhande et al., ECCV 2020 (its L2 penalty)",
        label="A-L2",
        needs="two groups; one class for each row",
    ),
    "fair-alm": Entry(
        "fitlib.training.methods.fair_alm:FairALM",
        "an augmented Lagrangian for equal losses of two groups on the favourable class",
        FairALMOptions,
        rules={"argmax": "training"},
        reference="Lokhande et al., ECCV 2020 (FairALM)",
        label="A-ALM",
        needs="two groups; one class for each row",
    ),
    "null-sampling": Entry(
        "fitlib.training.methods.null_sampling:NullSampling",
        "a classifier on images from which an invertible network has removed what tells the group",
        NullSamplingOptions,
        rules={"argmax": "training"},
        reference="Kehrenberg et al., ECCV 2020",
        label="N-Flow",
        needs="images of one size; for the study's setting a part `pretrain` on which the flow is trained",
        needs_images=True,
    ),
}
