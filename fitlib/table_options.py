"""Options of data sets that are made from somebody's own table: target, protected attributes, parts, features."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from fitlib.options import DataPath, Options

Value = str | bool | int | float  # a cell, as YAML gives it
Groups = dict[str, list[Value]]  # name of a group -> values


def listed(given: Any) -> Any:
    """A single value as a list of one."""
    return [given] if isinstance(given, str | bool | int | float) else given


class SplitOptions(Options):
    """Options on target, protected attributes and parts, of data sets that are made from somebody's own table."""

    target: str  # column of the classes
    protected: str | list[str | list[str]]  # column, or several; [sex, race] inside the list: both crossed
    positive: list[Value] | None = Field(None, min_length=1)  # values of class 1, or a cut, "> 50000"; null: one each
    classes: Groups | None = Field(None, min_length=2)  # name -> values, in this order; null: every value a class
    groups: Groups | dict[str, Groups] | None = None  # name -> values, or column -> these; null: every value a group
    bins: list[float | int] | dict[str, list[float | int]] | None = None  # ranges of numbers; or column -> these
    split: str | None = None  # column that tells the parts; null: they are drawn
    test: list[Value] = Field(["test"], min_length=1)  # values of split that make the test part
    validation: list[Value] = Field([])  # values of split that make the validation part
    test_share: float = Field(0.3, gt=0, lt=1)  # of each class and group, where the parts are drawn
    validation_share: float = Field(0.0, ge=0, lt=1)  # the same for the validation part
    split_seed: int = Field(0, ge=0)  # of the draw
    unit: str | None = None  # column: rows with an equal value are one test unit and lie in one part
    limit: int | None = Field(None, ge=2)  # training rows, the first ones; null: all
    test_limit: int | None = Field(None, ge=2)  # the same for the test part

    @field_validator("positive", "test", "validation", mode="before")
    @classmethod
    def _single(cls, given: Any) -> Any:
        return listed(given)


class TableOptions(SplitOptions):
    """Options of `table`."""

    file: DataPath  # .csv, .tsv, .txt, packed ones (.gz, .bz2, .xz), .parquet
    features: list[str] | None = Field(None, min_length=1)  # columns; null: all but those named elsewhere
    drop: list[str] = Field([])  # columns that are no features
    protected_as_features: bool = False  # true: the protected columns are features too, so prediction needs them
    categorical: list[str] = Field([])  # columns of numbers that stand for categories
    missing: Literal["impute", "refuse"] = "impute"  # of features: median and a column that marks them; or an error
    encoding: Literal["one-hot", "codes"] = "one-hot"  # of categories; codes: for the embeddings of mlp
    most_categories: int = Field(50, ge=2)  # of a column, the most frequent ones of the training part; others together


class ImagesOptions(SplitOptions):
    """Options of `images`."""

    root: DataPath  # parquet file, folder of such, or folder of image files
    table: DataPath | None = None  # of image files: in root, or a path of its own; null: the only one in root
    path: str | None = None  # of image files: column of their names; null: found by its name (path, file, image, ...)
    image: str | None = None  # of parquet: column of images; null: found by its name or type
    split: str | None = None  # column that tells the parts; null: those the data name (train, test, val), else drawn
    test_share: float | None = Field(None, gt=0, lt=1)  # given: parts are drawn; null: 0.3 where the data name no parts
    size: int = Field(64, ge=8)  # pixels a side
