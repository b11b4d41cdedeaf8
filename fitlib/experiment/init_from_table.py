"""`fitlib init`: a commented experiment file made from a table, in which every guess is marked as one."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from fitlib.datasets.tabular import column_guesses
from fitlib.datasets.tabular.cells import quantity
from fitlib.datasets.tabular.column_guesses import ColumnProfile, Groups, Guess, text_of
from fitlib.datasets.tabular.column_vocabulary import listing
from fitlib.datasets.tabular.reading import DECOMPRESSORS, TableFile, read_table
from fitlib.errors import InputError
from fitlib.options import expand_path
from fitlib.storage.prediction_columns import one_line
from fitlib.yaml_files import parse_yaml

BATCHES = ((5_000, 64), (200_000, 256), (float("inf"), 1024))  # up to so many rows -> batch size
STEPS = 1500  # of a training, approximately
WIDTH = 40  # column at which comments begin


@dataclass(frozen=True)
class TableGuesses:
    """What was read from a table and guessed about it, before it is written or printed."""

    file: str
    read: TableFile
    names: Sequence[str] | None
    looks: list[ColumnProfile]
    target: Guess
    cut: str | None
    classes: dict[str, int]
    favourable: tuple[str | None, str]
    protected: list[Guess]
    groups: list[Groups]
    split: tuple[ColumnProfile, dict[str, list[str]]] | None
    unit: ColumnProfile | None
    dropped: dict[str, str]
    categorical: list[ColumnProfile]

    @property
    def positive(self) -> int:
        """The number of the favourable class; 1 where it is not known."""
        name = self.favourable[0]
        return 1 if name is None else list(self.classes).index(name)

    @property
    def features(self) -> list[ColumnProfile]:
        """The columns that have no other role and are not left out."""
        taken = {self.target.look.name, *self.dropped, *(guess.look.name for guess in self.protected)}
        taken |= {look.name for look in ((self.split[0] if self.split else None), self.unit) if look}
        return [look for look in self.looks if look.name not in taken]


def write_experiment(
    table: Path,
    target: str | None,
    protected: Sequence[str],
    out: Path | None,
    replace: bool = False,
    names: Sequence[str] | None = None,
) -> list[str]:
    """Write an experiment file for a table (default: params/<table>.yaml); return lines that describe the guesses.

    `target` and `protected` are columns, guessed where they are None and empty; `names`: of all columns, where the
    first line of a text file has none. InputError where nothing can be
    guessed, a column does not exist, or the file exists already.
    """
    name = _slug(table)
    path = out or Path("params") / f"{name}.yaml"
    if path.exists() and not replace:
        problem = "the file exists already"
        raise InputError("init", "--out", str(path), problem, "choose another one (--out), or use --replace")
    found = inspect_table(table, target, protected, names)
    text = experiment_file(found, name, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return [
        *describe_guesses(found),
        f"written: {path}",
        f"next: fitlib plan {_shell(path)}, then fitlib run {_shell(path)}",
    ]


def inspect_table(
    table: Path, target: str | None, protected: Sequence[str], names: Sequence[str] | None = None
) -> TableGuesses:
    """Read a table and guess the roles of its columns; InputError where that is impossible."""
    where, file = table.name, _declared_path(table)
    read = read_table(table, names)
    if read.table.num_columns < 2:
        problem, remedy = "only one column was found", "separate the columns by a comma, semicolon, tab or |"
        raise InputError(where, "columns", read.table.column_names[0], problem, remedy)
    looks = [column_guesses.profile_column(name, read.table[name]) for name in read.table.column_names]
    goal = _named(where, "--target", target, looks) if target else column_guesses.guess_target(where, looks)
    cut = _cut(where, goal.look)
    chosen = [_named(where, "--protected", name, looks) for name in protected]
    chosen = chosen or column_guesses.guess_protected(where, looks, goal.look)
    _check_protected(where, chosen, goal.look)
    split = _split(looks, [goal.look, *(guess.look for guess in chosen)])
    groups, chosen = _groups(where, chosen, split, bool(protected))
    roles = [goal.look.name, *(guess.look.name for guess in chosen)]
    unit = None if split else column_guesses.guess_unit(looks, roles)
    rest = [look for look in looks if look.name not in roles and look is not unit and not (split and look is split[0])]
    dropped = {look.name: why for look in rest if (why := column_guesses.exclusion_reason(look, goal.look, cut))}
    codes = [look for look in rest if look.name not in dropped and column_guesses.is_categorical(look)]
    classes = _classes(goal.look, cut)
    favourable = column_guesses.favourable_of(goal.look, list(classes))
    found = TableGuesses(
        file, read, names, looks, goal, cut, classes, favourable, chosen, groups, split, unit, dropped, codes
    )
    return _with_features(where, found)


def _with_features(where: str, found: TableGuesses) -> TableGuesses:
    if found.features:
        return found
    why = "; ".join(f"{name}: {reason}" for name, reason in found.dropped.items()) or "every column has another role"
    raise InputError(where, "features", [], f"no column is left as a feature ({why})", "add columns to the table")


def _named(where: str, option: str, name: str, looks: list[ColumnProfile]) -> Guess:
    from fitlib.errors import one_of

    plain = unicodedata.normalize("NFC", " ".join(name.split()))
    found = one_of(where, option, plain, [look.name for look in looks])
    return Guess(next(look for look in looks if look.name == found), f"given by {option}", given=True)


def _cut(where: str, target: ColumnProfile) -> str | None:
    if target.kind in ("date", "other") or target.distinct < 2:
        problem = "dates and lists are no classes" if target.distinct > 1 else "it has fewer than two values"
        raise InputError(where, "--target", target.name, problem, "choose a column with two values or more")
    if target.kind == "text" and not target.counts:
        problem = f"{target.distinct:,} different texts are no classes"
        raise InputError(where, "--target", target.name, problem, "choose a column with fewer values")
    return None if column_guesses.needs_no_cut(target) else column_guesses.cut_of(target)


def _classes(target: ColumnProfile, cut: str | None) -> dict[str, int]:
    """Return the rows of each class by name, in the order of the class numbers."""
    if cut is None:
        return {text_of(value): rows for value, rows in target.counts}
    below, above = np.bincount(column_guesses.target_codes(target, cut) + 1, minlength=3)[1:].tolist()
    return {f"<={cut[1:]}": below, cut: above}


def _check_protected(where: str, chosen: list[Guess], target: ColumnProfile) -> None:
    for place, guess in enumerate(chosen):
        twice = any(guess.look is other.look for other in chosen[:place])
        if twice or guess.look is target:
            problem = "given twice" if twice else "it is the target"
            raise InputError(where, "--protected", guess.look.name, problem, "choose another column")
        if guess.look.kind in ("date", "other"):
            remedy = "make a column of groups of it"
            raise InputError(where, "--protected", guess.look.name, "dates and lists are no groups", remedy)


def _split(looks: list[ColumnProfile], taken: list[ColumnProfile]) -> tuple[ColumnProfile, dict[str, list[str]]] | None:
    pairs = [(look, column_guesses.parts_of(look)) for look in looks if look not in taken]
    return next(((look, parts) for look, parts in pairs if parts), None)


def _groups(
    where: str, chosen: list[Guess], split: tuple[ColumnProfile, dict] | None, given: bool
) -> tuple[list[Groups], list[Guess]]:
    """Return the groups of every chosen column; drop a guessed column that does not give two groups."""
    test_rows = _test_rows(*split) if split else None
    made, kept = [], []
    for guess in chosen:
        try:
            made.append(column_guesses.groups_of(where, guess.look, test_rows))
            kept.append(guess)
        except InputError:
            if given or (guess is chosen[-1] and not kept):
                raise
    return made, kept


def _test_rows(look: ColumnProfile, parts: dict[str, list[str]]) -> NDArray[np.bool_]:
    return np.isin(look.codes, [code for code, (value, _) in enumerate(look.counts) if value in parts["test"]])


# What is printed


def describe_guesses(found: TableGuesses) -> list[str]:
    """Return a line for each guess: what, why, and the alternatives."""
    shape = f"{quantity(found.read.table.num_rows, 'row')}, {quantity(len(found.looks), 'column')}"
    lines = [f"{found.file}: {'; '.join([shape, *found.read.notes])}", f"target: {_describe_target(found)}"]
    for guess, groups in zip(found.protected, found.groups, strict=True):
        lines.append(f"protected: {guess.look.name} ({_describe_protected(guess, groups)})")
    first = found.protected[0]
    if first.others:
        lines.append(f"  could also be protected: {listing(first.others)} (--protected, several times for several)")
    lines += [f"favourable class: {_describe_favourable(found)}", f"parts: {_describe_parts(found)}"]
    lines += [f"test unit: {found.unit.name} (guessed: it numbers persons)"] if found.unit else []
    lines += [f"left out: {name} ({why})" for name, why in found.dropped.items()]
    lines += [f"careful: {name}, a feature, {why} (drop it?)" for name, why in _warnings(found).items()]
    lines += [f"categories: {listing(look.name for look in found.categorical)} (guessed)"] if found.categorical else []
    features = found.features
    return [one_line(line, 400) for line in [*lines, f"features: {len(features)}: {listing(f.name for f in features)}"]]


def _describe_target(found: TableGuesses) -> str:
    guess = found.target
    sizes = listing(f"{name} ({rows:,} rows)" for name, rows in found.classes.items())
    parts = [_why(guess), f"classes {sizes}"]
    parts += [f"numbers cut at the median: {found.cut}"] if found.cut else []
    parts += [f"could also be {listing(guess.others)} (--target)"] if guess.others else []
    missing = guess.look.missing
    return f"{guess.look.name} ({'; '.join(parts + _missing(missing))})"


def _describe_protected(guess: Guess, groups: Groups) -> str:
    sizes = listing(f"{name} ({rows:,} rows)" for name, rows in groups.sizes.items())
    parts = [_why(guess), f"groups {sizes}"]
    rare = [listing(map(text_of, of), 4) + f" as {name}" for name, of in (groups.merged or {}).items() if len(of) > 1]
    parts += [f"put together: {rare[0]}"] if rare else []
    parts += [f"too rare, left out: {listing(groups.left_out)}"] if groups.left_out else []
    return "; ".join(parts + _missing(guess.look.missing))


def _missing(rows: int) -> list[str]:
    return [f"{quantity(rows, 'row')} without it left out"] if rows else []


def _why(guess: Guess) -> str:
    return guess.why if guess.given else f"guessed: {guess.why}"


def _describe_favourable(found: TableGuesses) -> str:
    name, why = found.favourable
    return f"{name} (guessed: {why})" if name else "not declared: the names do not show it (analysis.favourable)"


def _describe_parts(found: TableGuesses) -> str:
    if found.split is None:
        return f"{column_guesses.TEST_SHARE:.0%} drawn as test part"
    look, parts = found.split
    return f"column {look.name} (guessed: its values {listing(v for values in parts.values() for v in values)})"


# What is written


def experiment_file(found: TableGuesses, name: str, path: Path) -> str:
    """Return the experiment file as commented YAML."""
    lines = [*_head(found, path), f"name: {scalar(name)}", "data:", *_data(found), *_training(found)]
    lines += [*_techniques(found), *_analysis(found)]
    return "\n".join(lines) + "\n"


def scalar(value: object) -> str:
    """Return a value as YAML, block or flow: quoted only where necessary, and read back as the same value.

    >>> scalar("income"), scalar("no"), scalar(["a, b", 3])
    ('income', "'no'", "['a, b', 3]")
    """
    text = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=float("inf")).strip()[1:-1]
    try:
        same = parse_yaml(f"[{text}]") == [value] and len(text.splitlines()) == 1
    except yaml.YAMLError:
        same = False
    return text if same else yaml.safe_dump(value, default_style='"', allow_unicode=False, width=float("inf")).strip()


def _head(found: TableGuesses, path: Path) -> list[str]:
    read = [f"{quantity(found.read.table.num_rows, 'row')}, {quantity(len(found.looks), 'column')}", *found.read.notes]
    return [
        *_comment(f"Made by fitlib init from {found.file}: {'; '.join(read)}."),
        "# Guesses are marked as such: correct what is wrong, then",
        f"#   fitlib plan {_shell(path)}    # what would run",
        f"#   fitlib run {_shell(path)}    # train, measure, compare, report",
    ]


def _data(found: TableGuesses) -> list[str]:
    lines = [
        "  name: table",
        _line(f"  file: {scalar(found.file)}", "seen from the folder in which fitlib is called"),
        *([_line(f"  names: {scalar(list(found.names))}", "of the columns, as given")] if found.names else []),
        *_comment(f"target, {_describe_target(found)}", 2),
        f"  target: {scalar(found.target.look.name)}",
        *([_line(f"  positive: {scalar(found.cut)}", "class 1; guessed: the median")] if found.cut else []),
        *_protected(found),
        *_parts(found),
        *_drop(found),
        *_categorical(found),
    ]
    return [*lines, _line("  missing: impute", "features: the median and a mark; refuse: stop instead")]


def _protected(found: TableGuesses) -> list[str]:
    lines = [_line("  protected:", "methods use the first one, the report covers each")]
    for guess, groups in zip(found.protected, found.groups, strict=True):
        lines += [*_comment(_describe_protected(guess, groups), 4), f"    - {scalar(guess.look.name)}"]
    if found.protected[0].others:
        lines += _comment(f"could also be protected: {listing(found.protected[0].others)}", 4)
    pairs = [(guess.look.name, groups) for guess, groups in zip(found.protected, found.groups, strict=True)]
    merged = [(name, groups.merged) for name, groups in pairs if groups.merged]
    bins = [(name, groups.bins) for name, groups in pairs if groups.bins]
    if merged:
        lines.append(_line("  groups:", "name: values; rows with other values are left out"))
    for name, values in merged:
        lines += [f"    {scalar(name)}:", *(f"      {scalar(key)}: {scalar(of)}" for key, of in values.items())]
    if bins:
        lines.append(_line("  bins:", "ranges: below, between and from these numbers on; guessed"))
    return [*lines, *(f"    {scalar(name)}: {scalar(cuts)}" for name, cuts in bins)]


def _parts(found: TableGuesses) -> list[str]:
    if found.split is None:
        lines = [
            _line(
                f"  test_share: {column_guesses.TEST_SHARE}", "of each class and group; or name a column: split: COLUMN"
            ),
            _line("  split_seed: 0", "of this draw, which is the same for all runs"),
        ]
        unit = (
            [_line(f"  unit: {scalar(found.unit.name)}", "guessed; equal values stay in one part")]
            if found.unit
            else []
        )
        return lines + unit
    look, parts = found.split
    lines = [_line(f"  split: {scalar(look.name)}", "guessed: its values name the parts")]
    return lines + [f"  {part}: {scalar(parts[part])}" for part in ("test", "validation") if parts[part]]


def _warnings(found: TableGuesses) -> dict[str, str]:
    """Return {feature: why it may be none}."""
    reasons = {look.name: column_guesses.warning(look, found.target.look, found.cut) for look in found.features}
    return {name: why for name, why in reasons.items() if why}


def _drop(found: TableGuesses) -> list[str]:
    doubtful = [line for name, why in _warnings(found).items() for line in _comment(f"{name} {why}: drop it?", 4)]
    if not found.dropped:
        return [_line("  drop: []", "columns that are to be no features"), *doubtful]
    lines = [_line("  drop:", "no features; guessed")]
    return [*lines, *(_line(f"    - {scalar(name)}", why) for name, why in found.dropped.items()), *doubtful]


def _categorical(found: TableGuesses) -> list[str]:
    names = [look.name for look in found.categorical]
    few = [f.name for f in found.features if f.kind == "whole" and 2 < f.distinct <= 30 and f.name not in names]
    lines = [_line(f"  categorical: {scalar(names)}", "columns of numbers that stand for categories")]
    return lines + (_comment(f"numbers with few values, taken as quantities: {listing(few, 12)}", 4) if few else [])


def _training(found: TableGuesses) -> list[str]:
    batch, epochs = _size(found)
    return [
        _line("network: {name: mlp, hidden: [64, 32]}", "two hidden layers"),
        "training:",
        f"  {{epochs: {epochs}, batch_size: {batch}, optimizer: adam, learning_rate: 1e-3, weight_decay: 1e-4}}",
    ]


def _size(found: TableGuesses) -> tuple[int, int]:
    """Return batch size and epochs for about STEPS steps."""
    rows = sum(found.classes.values())
    if found.split is not None:
        rows -= int(_test_rows(*found.split).sum())
    batch = next(size for most, size in BATCHES if rows <= most)
    return batch, int(np.clip(round(STEPS * batch / max(rows, 1)), 5, 40))


def _techniques(found: TableGuesses) -> list[str]:
    epochs = 3 * _size(found)[1]
    longer = f"training: {{epochs: {epochs}, measure_every: {epochs}}}"
    lines = [
        "techniques:",
        "  baseline: {method: baseline}",
        "  oversampling: {method: oversampling}",
        _line("  domain-independent: {method: domain-independent, inference: sum}", "or conditional: knows the group"),
        "  domain-discriminative: {method: domain-discriminative, inference: sum-no-prior-shift}",
        *_comment("these two train the network itself in one epoch of three", 2),
        f"  uniform-confusion: {{method: {{name: uniform-confusion, ratio: 3}}, {longer}}}",
        f"  gradient-projection: {{method: {{name: gradient-projection, ratio: 3}}, {longer}}}",
    ]
    if len(found.classes) == 2 and len(found.groups[0].sizes) == 2:
        lines += _comment("two classes and two groups: penalties on the gap between the groups' losses", 2)
        methods = ("group-loss-penalty", "fair-alm")
        lines += [f"  {name}: {{method: {{name: {name}, positive: {found.positive}}}}}" for name in methods]
    return [*lines, "baseline: baseline"]


def _analysis(found: TableGuesses) -> list[str]:
    name, why = found.favourable
    comment = f"guessed: {why}" if name else f"one of {listing(found.classes)}, for the four-fifths rule"
    return [
        _line("runs: 16", "of each training, all with the same seed"),
        "seeds: [0]",
        _line("noise: auto", "what makes the runs differ: ulp on a CPU (emulated), native on a GPU"),
        _line("control_runs: 2", "of each training, without noise: these must be bit-identical"),
        "analysis:",
        _line(f"  favourable: {scalar(name)}", comment),
        _line("  smallest_effect: 0.01", "smaller differences of a bias metric do not matter; or {DP: 0.01, DI: 0.05}"),
        _line("  primary: null", "the metric that decides, such as DP; null: all metrics together"),
    ]


def _line(text: str, comment: str) -> str:
    return f"{text:<{WIDTH}} # {one_line(comment)}"


def _comment(text: str, indent: int = 0) -> list[str]:
    """Return a comment on lines of its own, as many as it needs."""
    beginning = f"{' ' * indent}# "
    return textwrap.wrap(one_line(text, 1000), 116, initial_indent=beginning, subsequent_indent=f"{beginning}  ")


# Names of files


def _declared_path(table: Path) -> str:
    """Return the path as written in the experiment file; InputError where `$` or `~` in it would be expanded."""
    text = table.as_posix()
    try:
        plain = expand_path(text) == text
    except ValueError:
        plain = False
    if not plain:
        raise InputError("init", "TABLE", text, "$ and ~ mean something else in an experiment file", "rename the table")
    return text


def _slug(table: Path) -> str:
    """Return a table's name as the name of an experiment: letters, digits, dots, dashes."""
    stem = table.with_suffix("").stem if table.suffix.lower() in DECOMPRESSORS else table.stem
    letters = unicodedata.normalize("NFKD", stem.replace("ß", "ss"))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._") or "table"


def _shell(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
