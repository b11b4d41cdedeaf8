"""Options of the data sets, so that an experiment file is checked without importing what reads the data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from fitlib.options import DataPath, Options


class DigitsSOptions(Options):
    """Options of `digits-s`."""

    skew: float = Field(0.95, gt=0.5, lt=1)  # share of a class's training digits in its own rendering
    test_share: float = Field(0.4, ge=0.05, le=0.9)  # both parts keep several digits of every class
    split_seed: int = Field(0, ge=0)  # of the choice of renderings and of the test part


class ApplicantsSOptions(Options):
    """Options of `applicants-s`."""

    rows: int = Field(8192, ge=64)  # of the training part
    test_rows: int = Field(4096, ge=64)  # of the test part
    bias: float = Field(0.5, ge=0)  # by how much group b lowers the logit of an invitation
    data_seed: int = Field(0, ge=0)  # of all that is simulated


class Cifar10SOptions(Options):
    """Options of `cifar10s`."""

    root: DataPath | None = None  # unpacked archive, parquet file or folder of such; null: the cache's copy
    download: bool = False  # fetch the archive (170 MB) into the cache where it is not there yet
    skew: float = Field(0.95, gt=0.5, lt=1)  # share of a class's training images in its own rendering
    split_seed: int = Field(42, ge=0)  # of the choice of renderings; 42: the study's
    limit: int | None = Field(None, ge=2)  # training images of each class, the first ones; null: all
    test_limit: int | None = Field(None, ge=2)  # the same for the test part


class CelebAOptions(Options):
    """Options of `celeba`."""

    root: DataPath | None = None  # folder with img_align_celeba and the two lists
    target: str = "Attractive"  # an attribute
    protected: str = "Male"  # an attribute
    split: Literal["official", "nifr-sequential", "nifr-shuffled"] = "official"  # nifr: those of null-sampling
    mixing: float = Field(0.5, ge=0, le=1)  # nifr: 0 keeps target = protected in training, 0.5 the data as they are
    split_seed: int = Field(1, ge=0)  # nifr: of the draws
    transform: Literal["fairalm", "nifr"] = "fairalm"  # 128 pixels in [0, 1], or 64 pixels in [-1, 1]
    limit: int | None = Field(None, ge=2)  # rows of each part, the first ones; null: all


class FairFaceOptions(Options):
    """Options of `fairface`."""

    root: DataPath | None = None  # parquet file, or folder of such
    target: str = "gender"  # a column
    protected: str = "race"  # a column
    positive: list[str] | None = Field(None, min_length=1)  # values of the target that make class 1; null: one each
    classes: dict[str, list[str]] | None = Field(None, min_length=2)  # name -> values, in this order; null: one each
    groups: dict[str, list[str]] | None = Field(None, min_length=2)  # name -> values; null: every value a group
    size: int = Field(64, ge=8)  # pixels a side
    limit: int | None = Field(None, ge=2)  # training rows, the first ones; null: all
    test_limit: int | None = Field(None, ge=2)  # the same for the test part


class PeopleOptions(Options):
    """Options that `coco` and `imsitu` share."""

    annotations: DataPath  # folder of the lists: a table, or train.data, val.data, test.data; names and index lists
    images: Literal["files", "made"] = "files"  # made: drawn from the annotations, to try the path without photographs
    root: DataPath | None = Field(None, validate_default=True)  # folder of the images
    ratio: Literal[1, 2, 3] | None = None  # training subset: the index list beside the lists, else fitlib's own draw
    ratio_seed: int = Field(0, ge=0)  # of fitlib's own draw
    evaluation: Literal["full", "balanced", "balanced-study"] = "full"  # study: another subset for every ratio
    size: int = Field(256, ge=16)  # pixels of the shorter side
    limit: int | None = Field(None, ge=2)  # at most so many training images, half of them of women; for trials
    test_limit: int | None = Field(None, ge=2)  # the same for the validation and for the test part

    @field_validator("root")
    @classmethod
    def _root_of_files(cls, root: str | None, info: ValidationInfo) -> str | None:
        if root is None and info.data.get("images") == "files":
            raise ValueError("the folder of images is not given; images: made does without")
        return root


class CocoOptions(PeopleOptions):
    """Options of `coco`."""

    training_list: Literal["train", "val"] = "train"  # val: every other row of the validation list trains
