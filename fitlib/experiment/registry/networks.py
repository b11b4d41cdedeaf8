"""The registry of networks and their options."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fitlib.experiment.registry.entries import Entry
from fitlib.options import DataPath, Options


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
    one_logit: bool = False  # two classes distinguished by a single output, as in the study


NETWORKS = {
    "small-cnn": Entry(
        "fitlib.training.networks.small_cnn:SmallCNN",
        "two convolutions with batch normalisation, one hidden layer, for small images",
        SmallCNNOptions,
        needs_images=True,
    ),
    "resnet18-cifar": Entry(
        "fitlib.training.networks.resnet:CifarResNet18",
        "ResNet-18 for images of 32x32 pixels; 11,173,962 parameters with 10 outputs",
        CifarResNetOptions,
        needs_images=True,
        reference="He et al., CVPR 2016",
    ),
    "resnet18": Entry(
        "fitlib.training.networks.resnet:ResNet18",
        "ResNet-18 in ImageNet layout; 11,689,512 parameters with 1,000 outputs",
        ResNetOptions,
        needs_images=True,
        reference="He et al., CVPR 2016",
    ),
    "resnet50": Entry(
        "fitlib.training.networks.resnet:ResNet50",
        "ResNet-50 in ImageNet layout; 25,557,032 parameters with 1,000 outputs",
        ResNetOptions,
        needs_images=True,
        reference="He et al., CVPR 2016",
        needs="for a pretrained start, as in the study: torchvision's weight file (option weights)",
    ),
    "nifr-cnn": Entry(
        "fitlib.training.networks.nifr_classifier:NifrClassifier",
        "five convolutions with batch normalisation and pooling, for images of 36 pixels or more",
        NifrClassifierOptions,
        needs_images=True,
        reference="Kehrenberg et al., ECCV 2020",
    ),
    "mlp": Entry(
        "fitlib.training.networks.mlp:MLP",
        "hidden layers with ReLU, for tables; columns of codes get learnt vectors (embeddings)",
        MLPOptions,
        reference="embeddings: Guo & Berkhahn, 2016",
    ),
}
