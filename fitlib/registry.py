"""What there is: methods, data sets, networks, noises, each with its options; nothing heavy is imported.

One entry names the object that does the work (`module:attribute`, imported when it is needed) and a pydantic model
of its options, so that an experiment file is checked completely without importing torch. To add a technique's
method, a data set or a network: write its module and add one entry here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Annotated, Any, Literal

from pydantic import Field

from fitlib.datasets.options import (
    ApplicantsSOptions,
    CelebAOptions,
    Cifar10SOptions,
    CocoOptions,
    DigitsSOptions,
    FairFaceOptions,
    ImagesOptions,
    PeopleOptions,
    TableOptions,
)
from fitlib.errors import InputError
from fitlib.options import DataPath, Options, expanded

IMAGE_OPTIONS = ("shift", "flip", "crop", "bits", "channels_last")  # of the loop
PATHS = ("root", "annotations", "file", "table")  # options of data sets that are paths
Implementation = Literal["none", "native", "ulp", "reduction-order", "threads", "primitives"]
ClassWeights = Literal["none", "clamped", "study"]  # samples without / with a class; study: unguarded


class SmallCNNOptions(Options):
    """Options of `small-cnn`."""

    width: int = Field(16, ge=1)  # channels of the first convolution
    dropout: float = Field(0.0, ge=0, lt=1)  # before the last layer


class CifarResNetOptions(Options):
    """Options of `resnet18-cifar`."""

    width: int = Field(64, ge=1)  # channels of the first stage


class ResNetOptions(Options):
    """Options of `resnet18` and `resnet50`."""

    width: int = Field(64, ge=1)  # channels of the first stage
    pool: Literal["global", "padded"] = "global"  # padded: the FairALM study's 2x2 windows at 128x128 pixels
    weights: DataPath | None = None  # a weight file with torchvision's names; fc may be of another size


class MLPOptions(Options):
    """Options of `mlp`."""

    hidden: list[Annotated[int, Field(ge=1)]] = Field([64, 32])  # widths of the hidden layers
    dropout: float = Field(0.0, ge=0, lt=1)  # after each hidden layer
    embedding: int | None = Field(None, ge=1)  # width of a coded column's vectors; null: half its values, at most 50
    lookup: Literal["embedding", "index"] = "embedding"  # index: table[codes], whose backward adds in any order


class NifrClassifierOptions(Options):
    """Options of `nifr-cnn`."""

    width: int = Field(32, ge=1)  # channels of the first convolution
    one_logit: bool = False  # two classes told apart by a single output, as in the study


class NoOptions(Options):
    """No options."""


class EmulatedOptions(Options):
    """Options of every emulated noise."""

    entropy: Literal["run", "os"] = "run"  # drawn from run index and noise_seed, or by the operating system


class UlpOptions(EmulatedOptions):
    """Options of the noise `ulp`."""

    step: int = Field(0, ge=0)  # the weight is moved before this step (batch) of the training
    units: int = Field(1, ge=1, le=4096)  # by so many units in the last place


class ThreadsOptions(EmulatedOptions):
    """Options of the noise `threads`."""

    most: int = Field(2, ge=2)  # threads of a step: 1 to so many


class SeedOptions(Options):
    """Options of the noises of kind comparison."""

    implementation: Implementation = "none"  # an implementation noise that acts as well, with its default options


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


@dataclass(frozen=True)
class Entry:
    """One registered name: where its code is, its options, one line about it."""

    target: str  # "module:attribute"
    summary: str
    options: type[Options] = NoOptions
    rules: dict[str, str] = field(default_factory=dict)  # methods: inference rule -> uses_protected
    reference: str = ""
    label: str = ""  # methods: the published study's technique(s), e.g. "S-Base, C-Base"
    needs: str = ""  # what it cannot do without, and how to come by it; empty: nothing
    multilabel: bool = False  # data sets: a row has a set of labels
    tabular: bool = False  # data sets: a row is a vector of features, no image
    needs_images: bool = False  # networks and methods: a row must be an image

    @property
    def module(self) -> str:
        """Dotted name of the module that holds the code."""
        return self.target.partition(":")[0]

    def load(self) -> object:
        """Import and return the registered object."""
        return self.sibling(self.target.partition(":")[2])

    def sibling(self, attribute: str) -> object:
        """Another object of the same module; data sets have `describe` and `source_files` beside `load`."""
        return getattr(importlib.import_module(self.module), attribute)


class DataEntry(Entry):
    """A data set: its functions receive paths (`PATHS`) filled in (`$NAME`, `~`), whatever the experiment file says."""

    def sibling(self, attribute: str) -> Callable:
        """A function of the data set's module: `load`, `describe` or `source_files`."""
        function = super().sibling(attribute)

        @wraps(function)
        def with_paths(**options: object) -> object:
            paths = {name: expanded(v) for name, v in options.items() if name in PATHS and isinstance(v, str)}
            return function(**{**options, **paths})

        return with_paths


DATASETS = {
    "digits-s": DataEntry(
        "fitlib.datasets.digits_s:load",
        "1,797 handwritten digits in two renderings (gray, tinted), skewed by class as in CIFAR-10S; embedded",
        DigitsSOptions,
        reference="Wang et al., CVPR 2020 (the CIFAR-10S construction); scikit-learn's digits",
    ),
    "applicants-s": DataEntry(
        "fitlib.datasets.applicants_s:load",
        "12,288 simulated applications for jobs: three columns of codes, three numbers, two groups; embedded",
        ApplicantsSOptions,
        tabular=True,
    ),
    "cifar10s": DataEntry(
        "fitlib.datasets.cifar10s:load",
        "CIFAR-10 in gray and colour, 95 % of each class in one rendering; every test image in both",
        Cifar10SOptions,
        reference="Wang et al., CVPR 2020; images: Krizhevsky 2009",
        label="S",
        needs="170 MB from https://www.cs.toronto.edu/~kriz/cifar.html: data.root, or data.download: true",
    ),
    "celeba": DataEntry(
        "fitlib.datasets.celeba:load",
        "202,599 faces with 40 attributes: any one as target, any one as protected attribute",
        CelebAOptions,
        reference="Liu et al., ICCV 2015; parts nifr: Kehrenberg et al., ECCV 2020",
        label="A, N",
        needs="1.3 GB from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (research only): data.root",
    ),
    "fairface": DataEntry(
        "fitlib.datasets.fairface:load",
        "faces with age, gender and race, or any image table with a target and a protected column",
        FairFaceOptions,
        reference="Kärkkäinen & Joo, WACV 2021",
        needs="parquet files, about 0.5 GB, from https://github.com/joojs/fairface (CC BY 4.0): data.root",
    ),
    "table": DataEntry(
        "fitlib.datasets.own_table:load",
        "a table of yours (CSV or parquet): target, protected attributes and features are columns",
        TableOptions,
        needs="a file: data.file; its columns: data.target, data.protected",
        tabular=True,
    ),
    "images": DataEntry(
        "fitlib.datasets.own_images:load",
        "images of yours (parquet, or files and a table): target and protected attributes are columns",
        ImagesOptions,
        needs="parquet files, or image files with a table: data.root; its columns: data.target, data.protected",
    ),
    "coco": DataEntry(
        "fitlib.datasets.coco:load",
        "MS-COCO 2014 images with a person of annotated gender: 79 objects (multi-label) by gender",
        CocoOptions,
        reference="Wang et al., ICCV 2019 (lists); Lin et al., ECCV 2014 (images)",
        label="C",
        multilabel=True,
        needs="lists of Wang et al. (repository uvavision/Balanced-Datasets-Are-Not-Enough; the training list is not "
        "public); images train2014 (13 GB) and val2014 (6 GB) from cocodataset.org; decoded 8 GB",
    ),
    "imsitu": DataEntry(
        "fitlib.datasets.imsitu:load",
        "imSitu images with a person of annotated gender: 211 verbs by gender",
        PeopleOptions,
        reference="Wang et al., ICCV 2019 (lists); Yatskar et al., CVPR 2016 (images)",
        label="I",
        needs="lists of Wang et al. (repository uvavision/Balanced-Datasets-Are-Not-Enough); images "
        "of500_images_resized (3.7 GB; originals 34 GB) from imsitu.org; decoded 10 GB",
    ),
}

NETWORKS = {
    "small-cnn": Entry(
        "fitlib.networks.small_cnn:SmallCNN",
        "two convolutions with batch normalisation, one hidden layer, for small images",
        SmallCNNOptions,
        needs_images=True,
    ),
    "resnet18-cifar": Entry(
        "fitlib.networks.resnet_cifar:CifarResNet18",
        "ResNet-18 for images of 32x32 pixels; 11,173,962 parameters with 10 outputs",
        CifarResNetOptions,
        needs_images=True,
        reference="He et al., CVPR 2016",
    ),
    "resnet18": Entry(
        "fitlib.networks.resnet:ResNet18",
        "ResNet-18 in ImageNet layout; 11,689,512 parameters with 1,000 outputs",
        ResNetOptions,
        needs_images=True,
        reference="He et al., CVPR 2016",
    ),
    "resnet50": Entry(
        "fitlib.networks.resnet:ResNet50",
        "ResNet-50 in ImageNet layout; 25,557,032 parameters with 1,000 outputs",
        ResNetOptions,
        needs_images=True,
        reference="He et al., CVPR 2016",
        needs="for a pretrained start, as in the study: torchvision's weight file (option weights)",
    ),
    "nifr-cnn": Entry(
        "fitlib.networks.nifr_classifier:NifrClassifier",
        "five convolutions with batch normalisation and pooling, for images of 36 pixels or more",
        NifrClassifierOptions,
        needs_images=True,
        reference="Kehrenberg et al., ECCV 2020",
    ),
    "mlp": Entry(
        "fitlib.networks.mlp:MLP",
        "hidden layers with ReLU, for tables; columns of codes get learnt vectors (embeddings)",
        MLPOptions,
        reference="embeddings: Guo & Berkhahn, 2016",
    ),
}

METHODS = {
    "baseline": Entry(
        "fitlib.techniques.baseline:Baseline",
        "cross entropy on the training set as it is",
        BaselineOptions,
        rules={"argmax": "no", "threshold": "no"},
        label="S-Base, C-Base, I-Base, A-Base, N-Base",
    ),
    "oversampling": Entry(
        "fitlib.techniques.oversampling:Oversampling",
        "cross entropy on a training set in which the rarer groups of each class are repeated",
        OversamplingOptions,
        rules={"argmax": "training"},
        reference="Wang et al., CVPR 2020, strategic sampling",
        label="S-RS",
    ),
    "domain-independent": Entry(
        "fitlib.techniques.domain_independent:DomainIndependent",
        "one shared network, one classifier per protected group",
        rules={"conditional": "prediction", "sum": "training"},
        reference="Wang et al., CVPR 2020, domain-independent training",
        label="S-DI1, S-DI2",
    ),
    "domain-discriminative": Entry(
        "fitlib.techniques.domain_discriminative:DomainDiscriminative",
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
        "fitlib.techniques.uniform_confusion:UniformConfusion",
        "an adversary reads the group off the features, which learn to leave it undecided",
        UniformConfusionOptions,
        rules={"argmax": "training", "threshold": "training"},
        reference="Wang et al., CVPR 2020, after Tzeng et al., ICCV 2015",
        label="S-UC",
    ),
    "gradient-projection": Entry(
        "fitlib.techniques.gradient_projection:GradientProjection",
        "the class gradient loses its component along an adversary's gradient, which is then reversed",
        GradientProjectionOptions,
        rules={"argmax": "training", "threshold": "training"},
        reference="Zhang, Lemoine & Mitchell, AIES 2018",
        label="S-GR",
    ),
    "ratio-balanced": Entry(
        "fitlib.techniques.ratio_balanced:RatioBalanced",
        "the baseline on a subset in which no class shows one group much more often than another",
        RatioBalancedOptions,
        rules={"argmax": "training", "threshold": "training"},
        reference="Wang et al., ICCV 2019 (Balanced Datasets Are Not Enough)",
        label="C-R1, C-R2, C-R3, I-R1, I-R2, I-R3",
    ),
    "map-adversary": Entry(
        "fitlib.techniques.map_adversary:MapAdversary",
        "an adversary on a convolutional map, whose reversed gradient makes the network hide the group",
        MapAdversaryOptions,
        rules={"argmax": "training", "threshold": "training"},
        reference="Wang et al., ICCV 2019, after Ganin & Lempitsky, ICML 2015",
        label="C-A4, C-A5, I-A4, I-A5",
        needs="a network with intermediate maps",
        needs_images=True,
    ),
    "group-loss-penalty": Entry(
        "fitlib.techniques.group_loss_penalty:GroupLossPenalty",
        "the squared gap between two groups' losses on the favourable class is added to the loss",
        GroupLossPenaltyOptions,
        rules={"argmax": "training"},
        reference="Lokhande et al., ECCV 2020 (its L2 penalty)",
        label="A-L2",
        needs="two groups; one class for each row",
    ),
    "fair-alm": Entry(
        "fitlib.techniques.fair_alm:FairALM",
        "an augmented Lagrangian for equal losses of two groups on the favourable class",
        FairALMOptions,
        rules={"argmax": "training"},
        reference="Lokhande et al., ECCV 2020 (FairALM)",
        label="A-ALM",
        needs="two groups; one class for each row",
    ),
    "null-sampling": Entry(
        "fitlib.techniques.null_sampling:NullSampling",
        "a classifier on images from which an invertible network has removed what tells the group",
        NullSamplingOptions,
        rules={"argmax": "training"},
        reference="Kehrenberg et al., ECCV 2020",
        label="N-Flow",
        needs="images of one size; for the study's setting a part `pretrain` on which the flow is trained",
        needs_images=True,
    ),
}

NOISES = {
    "none": Entry("fitlib.noise:NoNoise", "control: deterministic algorithms; runs must be bit-identical"),
    "native": Entry("fitlib.noise:Native", "real: whatever hardware and software do by themselves"),
    "ulp": Entry("fitlib.noise:Ulp", "emulated: one weight moved by one unit in the last place", UlpOptions),
    "reduction-order": Entry(
        "fitlib.noise:ReductionOrder",
        "emulated: the order of samples in each finished mini-batch",
        EmulatedOptions,
    ),
    "threads": Entry("fitlib.noise:Threads", "emulated: the number of threads, drawn at every step", ThreadsOptions),
    "primitives": Entry(
        "fitlib.noise:Primitives",
        "emulated: oneDNN on or off and the memory format of images, drawn at every step",
        EmulatedOptions,
    ),
    "seed": Entry("fitlib.noise:Seeds", "comparison: every run has a seed of its own; no FIT runs", SeedOptions),
    "seed-init": Entry(
        "fitlib.noise:SeedInit", "comparison: a seed of its own for the initial weights only", SeedOptions
    ),
    "seed-order": Entry(
        "fitlib.noise:SeedOrder", "comparison: a seed of its own for the order of the data only", SeedOptions
    ),
    "seed-augmentation": Entry(
        "fitlib.noise:SeedAugmentation", "comparison: a seed of its own for the augmentation only", SeedOptions
    ),
}

NOISE_KINDS = {
    "none": "control",
    "native": "real",
    **dict.fromkeys(("ulp", "reduction-order", "threads", "primitives"), "emulated"),
    **dict.fromkeys(("seed", "seed-init", "seed-order", "seed-augmentation"), "comparison"),
}


def check_images(settings: Mapping[str, Any], where: str, field: str, network: str) -> None:
    """InputError where the data are a table, and network, method or loop of these settings want images.

    field, network: names of the technique and of its network in the experiment file `where`.
    """
    data = settings["data"]["name"]
    if not DATASETS[data].tabular:
        return
    fields = {network: ("network", NETWORKS, "use mlp"), f"{field}.method": ("method", METHODS, "use another method")}
    for name, (part, registry, remedy) in fields.items():
        if registry[settings[part]["name"]].needs_images:
            raise InputError(where, name, settings[part]["name"], f"it needs images, data set {data} has none", remedy)
    for option in (option for option in IMAGE_OPTIONS if settings["training"][option]):
        problem = f"it is for images, data set {data} has none"
        raise InputError(where, f"training.{option}", settings["training"][option], problem, "leave it out")
