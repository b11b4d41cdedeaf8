"""The section on robustness: the words that must be there, and those that must not; its figure and tables."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from fitlib import formatting as fmt
from fitlib.report import notebook_display
from fitlib.report.sections import robustness as section
from fitlib.tables import robustness
from fitlib.tables.over_seeds import over_seeds_table
from fitlib.tables.planning import planning_table
from tests.support.table_examples import RUNS, compare, drawn, evidence_of, fits, metrics_of, plan, technique

mpl.use("Agg")


def frames_of(metrics: pd.DataFrame, plan_: dict, evidence: list[dict] = (), fit: bool | None = True) -> dict:
    compared = compare(metrics, plan_, evidence, fit)
    return {
        "comparisons": compared,
        "reversal": robustness.reversals(metrics, plan_, evidence, fits(fit)),
        "planning": planning_table(compared, over_seeds_table(metrics, plan_, evidence, fits(fit)), plan_),
        "sequential": robustness.sequential(metrics, plan_, evidence, fits(fit)),
    }


def usual(**analysis: object) -> tuple[dict, dict]:
    fair = drawn(1, 0.27, sd=0.001)
    fair[6, 3] = 0.5
    declared = plan(**analysis)
    return frames_of(metrics_of(Base=drawn(0, sd=0.001), Fair=fair, Noisy=drawn(2, 0.3, 0.1)), declared), declared


def many(n: int) -> tuple[dict, dict]:
    names = ["Base", *(f"T{i}" for i in range(1, n))]
    frame = metrics_of(**{name: drawn(i, 0.3 - i / 200, 0.005 * (1 + i % 3)) for i, name in enumerate(names)})
    declared = plan(*[technique(name, None if i == 0 else "Base") for i, name in enumerate(names)])
    return frames_of(frame, declared), declared


def one_run() -> tuple[dict, dict]:
    declared = plan(technique("Base", None), technique("Fair"), looks=[5, 8])
    return frames_of(metrics_of(Base=drawn(0, runs=1), Fair=drawn(1, runs=1)), declared), declared


def constant() -> tuple[dict, dict]:
    values = np.repeat(drawn(0)[:, :1], RUNS, axis=1)
    declared = plan(technique("Base", None), technique("Fair"), looks=[5, 8])
    return frames_of(metrics_of(Base=values, Fair=values - 0.1), declared), declared


def not_fit() -> tuple[dict, dict]:
    declared = plan(looks=[5, 8])
    return frames_of(
        metrics_of(Base=drawn(0), Fair=drawn(1), Noisy=drawn(2)), declared, evidence_of("Base"), False
    ), declared


def paired() -> tuple[dict, dict]:
    declared = plan(technique("Base", None, "one"), technique("Fair", "Base", "one"), looks=[5, 8])
    b = drawn(0, sd=0.05)
    t = b - 0.02 + 0.01 * np.random.default_rng(9).standard_normal(b.shape)
    return frames_of(metrics_of(Base=b, Fair=t), declared), declared


def nothing() -> tuple[dict, dict]:
    declared = plan(technique("Base", None), looks=[5, 8])
    return frames_of(metrics_of(Base=drawn(0)), declared), declared


CASES = {
    "usual": usual, "looks": lambda: usual(looks=[3, 5, 8]), "many": lambda: many(8), "one run": one_run,
    "constant": constant, "not FIT": not_fit, "paired": paired, "nothing": nothing,
    "no effect": lambda: usual(smallest_effect=0.0), "tiny effect": lambda: usual(smallest_effect=1e-5),
}  # fmt: skip


@pytest.fixture
def shown() -> Iterator[list[dict]]:
    """What is displayed."""
    with notebook_display.collect_outputs() as outputs:
        yield outputs


def text_of(outputs: list[dict]) -> str:
    shown = [{kind: text for kind, text in output["data"].items() if kind != "image/svg+xml"} for output in outputs]
    return " ".join(f"{' '.join(data.values())} {out['metadata']}" for data, out in zip(shown, outputs, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_the_section_shows_without_a_nan_or_a_warning(
    case: str, shown: list[dict], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    frames, declared = CASES[case]()
    section.show(notebook_display.Page(declared, tmp_path), frames, declared, [])
    text = text_of(shown)
    assert text and not any(word in text for word in ("nan", "NaN", "None", "<NA>", "inf ", "±0.00 "))
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]
    drawn_figures = list(tmp_path.glob("figures/how-many-runs.svg"))
    tested = case not in ("one run", "constant", "not FIT", "nothing", "no effect")
    assert len(drawn_figures) == tested


def test_one_figure_for_each_attribute(shown: list[dict], tmp_path: Path) -> None:
    parts = [
        metrics_of(Base=drawn(k), Fair=drawn(k + 5, 0.2)).assign(attribute=name)
        for k, name in enumerate(("sex", "race"))
    ]
    declared = plan(technique("Base", None), technique("Fair")) | {"groups": {"sex": ["f", "m"], "race": ["a", "b"]}}
    section.show(notebook_display.Page(declared, tmp_path), frames_of(pd.concat(parts), declared), declared, [])
    assert len(list(tmp_path.glob("figures/*.svg"))) == 2 and "by race" in text_of(shown)


# Sentences


def test_verdicts_that_hang_on_one_run_are_named() -> None:
    frames, _ = usual()
    messages = section.stability(frames["comparisons"])
    assert any("Fair against Base on BA: “open”, but “fairer” without one of the 16 runs" in t for t in messages)
    clear, _ = many(3)
    clear["comparisons"]["verdict_changes"] = 0
    assert section.stability(clear["comparisons"])[0].startswith(
        "Leaving out any single run changes none of 10 verdicts"
    )
    assert "not possible here" in section.stability(one_run()[0]["comparisons"])[0]


def test_reversals_tell_k_the_seed_and_what_is_not_established() -> None:
    messages = " ".join(section.reversals(usual()[0]["reversal"], usual()[1]))
    assert "for k = 1" in messages and "for k = 4" in messages and "same seed" in messages
    assert "In 6 of 10 comparisons the direction is not established (no unadjusted interval" in messages
    identical = usual()[0]["reversal"].assign(value=np.nan, note="bit-identical runs enter no test")
    assert section.reversals(identical, plan()) == []
    assert section.reversals(nothing()[0]["reversal"], plan()) == []
    messages = section.reversals(paired()[0]["reversal"], paired()[1])
    assert messages == ["Reversal is not computed for 7 comparisons of techniques that share one training."]
    assert section.reversal_view(paired()[0]["reversal"], {}).empty
    assert len(section.reversal_view(usual()[0]["reversal"], {})) == 2


def test_no_chance_reads_zero_without_an_upper_end() -> None:
    messages = section.reversals(many(3)[0]["reversal"], many(3)[1])[0]
    assert "0 [0, 0." in messages or "< 0.001 [" in messages or "0.0" in messages
    for cell in section.reversal_view(many(3)[0]["reversal"], {}).filter(like="k =").to_numpy().ravel():
        assert cell == "–" or cell.endswith("]")


def test_after_an_early_stop_the_valid_interval_is_named() -> None:
    declared = plan(technique("Base", None), technique("Fair"), looks=[5, 8, 12])
    for n, stopped in ((8, True), (12, False)):
        metrics = metrics_of(Base=drawn(0, runs=n), Fair=drawn(1, 0.2, runs=n))
        frames = frames_of(metrics, declared)
        message = section.stopping_sentence(frames["sequential"], frames["comparisons"], declared)
        assert bool(message) is stopped
        if stopped:
            row = frames["sequential"].query("metric == 'DP' and decision.str.startswith('stop')").iloc[0]
            assert message.startswith("The runs ended at n = 8, after a declared look allowed to stop")
            assert f"Fair on DP, {fmt.points(row['difference'], signed=True)} points" in message
            assert fmt.span(row["difference_low"], row["difference_high"]) in message
            made = " ".join(section.looks(frames["sequential"], declared))
            assert fmt.span(row["difference_low"], row["difference_high"]) in made
    quiet = metrics_of(Base=drawn(0, runs=8), Fair=drawn(1, runs=8))
    frames = frames_of(quiet, declared)
    assert section.stopping_sentence(frames["sequential"], frames["comparisons"], declared) == ""
    assert section.stopping_sentence(frames["sequential"], frames["comparisons"], plan()) == ""


def test_looks_are_told_only_where_declared() -> None:
    frames, declared = usual()
    assert section.looks(frames["sequential"], declared) == []
    frames, declared = usual(looks=[3, 5, 8])
    messages = " ".join(section.looks(frames["sequential"], declared))
    assert "Looks were declared at 3, 5 and 8 runs" in messages and "could stop" in messages and "Pocock" in messages
    assert "At 3 and 5 runs no p could reach the level" in messages and "does not hold" not in messages
    late = {
        **declared,
        "deviations": ["the plan was changed after 8 finished runs: analysis.looks was not there, is [3]"],
    }
    assert "declared after runs had finished" in section.looks(frames["sequential"], late)[0]
    frames, declared = one_run()
    assert section.looks(frames["sequential"], declared) == ["Looks were declared at 5 and 8 runs; none could be made."]


def test_the_caption_tells_n_and_method() -> None:
    frames, declared = usual()
    text = section.caption_reversal(declared, frames["reversal"])
    assert text.startswith("n = 8 runs per technique. Varied: noise ulp (emulated).") and "Newcombe" in text


def test_tables_for_readers_have_at_most_nine_columns_of_text() -> None:
    for case in (usual, paired, lambda: many(12)):
        view = section.reversal_view(case()[0]["reversal"], {})
        assert len(view) <= 11 and len(view.columns) <= 9
        assert all(isinstance(cell, str) for cell in view.to_numpy().ravel())
