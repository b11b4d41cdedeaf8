"""Options of the data sets, apart from the code that reads the data: an experiment file is checked without it."""

from __future__ import annotations

from typing import Any, Literal

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
    bias: float = Field(0.5, ge=0)  # subtracted from the logit of an invitation in group b
    data_seed: int = Field(0, ge=0)  # of the simulation


class Cifar10SOptions(Options):
    """Options of `cifar10s`."""

    root: DataPath | None = None  # unpacked archive, parquet file or folder of such; null: the cache's copy
    download: bool = False  # fetch the archive (170 MB) into the cache if it is missing there
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
    images: Literal["files", "made"] = "files"  # made: drawn from the annotations, to try it without photographs
    root: DataPath | None = Field(None, validate_default=True)  # folder of the images
    ratio: Literal[1, 2, 3] | None = None  # training subset: the index list beside the lists, else fitlib's own draw
    ratio_seed: int = Field(0, ge=0)  # of fitlib's own draw
    evaluation: Literal["full", "balanced", "balanced-study"] = "full"  # study: another subset for every ratio
    size: int = Field(256, ge=16)  # pixels of the shorter side
    limit: int | None = Field(None, ge=2)  # most training images, half of them of women; for trials
    test_limit: int | None = Field(None, ge=2)  # the same for the validation and for the test part

    @field_validator("root")
    @classmethod
    def _root_of_files(cls, root: str | None, info: ValidationInfo) -> str | None:
        if root is None and info.data.get("images") == "files":
            raise ValueError("the folder of images is not given; images: made needs none")
        return root


class CocoOptions(PeopleOptions):
    """Options of `coco`."""

    training_list: Literal["train", "val"] = "train"  # val: every other row of the validation list trains


Value = str | bool | int | float  # a cell, as YAML gives it


Groups = dict[str, list[Value]]  # name of a group -> values


def as_list(given: Any) -> Any:
    """Return a single value as a list of one, all else as it is."""
    return [given] if isinstance(given, str | bool | int | float) else given


class SplitOptions(Options):
    """Options on target, protected attributes and parts, of data sets made from a user's table."""

    target: str  # column of the classes
    protected: str | list[str | list[str]]  # column, or several; [sex, race] inside the list: both crossed
    positive: list[Value] | None = Field(None, min_length=1)  # values of class 1, or a cut, "> 50000"; null: one each
    classes: Groups | None = Field(None, min_length=2)  # name -> values, in this order; null: every value a class
    groups: Groups | dict[str, Groups] | None = None  # name -> values, or column -> these; null: every value a group
    bins: list[float | int] | dict[str, list[float | int]] | None = None  # ranges of numbers; or column -> these
    split: str | None = None  # column of the parts; null: they are drawn
    test: list[Value] = Field(["test"], min_length=1)  # values of split that make the test part
    validation: list[Value] = Field([])  # values of split that make the validation part
    test_share: float | None = Field(None, gt=0, lt=1)  # given: parts are drawn; null: 0.3 where the data name no parts
    validation_share: float = Field(0.0, ge=0, lt=1)  # the same for the validation part
    split_seed: int = Field(0, ge=0)  # of the draw
    unit: str | None = None  # column: rows with an equal value are one test unit and in one part
    limit: int | None = Field(None, ge=2)  # training rows, the first ones; null: all
    test_limit: int | None = Field(None, ge=2)  # the same for the test part

    @field_validator("positive", "test", "validation", mode="before")
    @classmethod
    def _single(cls, given: Any) -> Any:
        return as_list(given)


class TableOptions(SplitOptions):
    """Options of `table`."""

    test_share: float = Field(0.3, gt=0, lt=1)  # of each class and group, where the parts are drawn
    file: DataPath  # .csv, .tsv, .txt, .data, .dat, also compressed (.gz, .bz2, .xz), .parquet
    names: list[str] | None = Field(None, min_length=1)  # of the columns, where the first line has none
    features: list[str] | None = Field(None, min_length=1)  # columns; null: all but those named elsewhere
    drop: list[str] = Field([])  # columns that are not features
    protected_as_features: bool = False  # true: the protected columns are features too, so prediction needs them
    categorical: list[str] = Field([])  # columns of numbers that are codes of categories
    missing: Literal["impute", "refuse"] = "impute"  # of features: median and a column that marks them; or an error
    encoding: Literal["one-hot", "codes"] = "one-hot"  # of categories; codes: for the embeddings of mlp
    most_categories: int = Field(50, ge=2)  # of a column, the most frequent ones of the training part; others together


class ImagesOptions(SplitOptions):
    """Options of `images`."""

    root: DataPath  # parquet file, folder of such, or folder of image files
    table: DataPath | None = None  # of image files: in root, or a separate path; null: the only one in root
    path: str | None = None  # of image files: column of their names; null: found by its name (path, file, image, ...)
    image: str | None = None  # of parquet: column of images; null: found by its name or type
    split: str | None = None  # column of the parts; null: those the data name (train, test, val), else drawn
    size: int = Field(64, ge=8)  # pixels a side
