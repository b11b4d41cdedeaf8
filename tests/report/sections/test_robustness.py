"""The section on robustness: the words that must be there, and those that must not; its figure and tables."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from fitlib.report import notebook_display
from fitlib.report.figures import runs_needed, style
from fitlib.report.sections import robustness as section
from fitlib.tables import robustness
from tests.support.table_examples import RUNS, arm, compare, drawn, evidence_of, fits, metrics_of, plan, technique

mpl.use("Agg")


def frames_of(metrics: pd.DataFrame, plan_: dict, evidence: list[dict] = (), fit: bool | None = True) -> dict:
    compared = compare(metrics, plan_, evidence, fit)
    return {
        "comparisons": compared,
        "reversal": robustness.reversals(metrics, plan_, evidence, fits(fit)),
        "runs_needed": robustness.runs_needed(compared, plan_),
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
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is displayed, as text."""
    texts: list[str] = []

    def collect(*objects: object, **options: object) -> None:
        for thing in objects:
            text = thing["text/plain"] if isinstance(thing, dict) else getattr(thing, "data", str(thing))
            texts.append(f"{text} {options.get('metadata', '')}")

    monkeypatch.setattr("IPython.display.display", collect)
    return texts


@pytest.mark.parametrize("case", CASES)
def test_the_section_shows_without_a_nan_or_a_warning(
    case: str, shown: list[str], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    frames, declared = CASES[case]()
    section.show(notebook_display.Page(declared, tmp_path), frames, declared, [])
    text = " ".join(shown)
    assert text and not any(word in text for word in ("nan", "NaN", "None", "<NA>", "inf ", "±0.00 "))
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]
    drawn_figures = list(tmp_path.glob("figures/how-many-runs.svg"))
    tested = case not in ("one run", "constant", "not FIT", "nothing", "no effect")
    assert len(drawn_figures) == tested


def test_one_figure_for_each_attribute(shown: list[str], tmp_path: Path) -> None:
    parts = [
        metrics_of(Base=drawn(k), Fair=drawn(k + 5, 0.2)).assign(attribute=name)
        for k, name in enumerate(("sex", "race"))
    ]
    declared = plan(technique("Base", None), technique("Fair")) | {"groups": {"sex": ["f", "m"], "race": ["a", "b"]}}
    section.show(notebook_display.Page(declared, tmp_path), frames_of(pd.concat(parts), declared), declared, [])
    assert len(list(tmp_path.glob("figures/*.svg"))) == 2 and "by race" in " ".join(shown)


# Sentences


def test_verdicts_that_hang_on_one_run_are_named() -> None:
    frames, _ = usual()
    messages = section.stability(frames["comparisons"])
    assert any("Fair against Base on BA: open, but fairer without one of the 16 runs" in t for t in messages)
    clear, _ = many(3)
    clear["comparisons"]["verdict_changes"] = 0
    assert section.stability(clear["comparisons"])[0].startswith(
        "Leaving out any single run changes none of 10 verdicts"
    )
    assert "not possible here" in section.stability(one_run()[0]["comparisons"])[0]


def test_reversals_tell_k_the_seed_and_what_is_not_established() -> None:
    messages = " ".join(section.reversals(usual()[0]["reversal"], usual()[1]))
    assert "for k = 1" in messages and "for k = 4" in messages and "same seed" in messages
    assert "the direction is not established" in messages and "up to ½" in messages
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


def test_runs_needed_name_the_effect_and_never_claim_equal_spread() -> None:
    frames, declared = usual()
    messages = " ".join(section.runs_needed(frames["runs_needed"], declared))
    assert (
        "a true difference of 1.00 points with power .8" in messages
        and "cannot show that the spread is unchanged" in messages
    )
    frames, declared = usual(smallest_effect=1e-5)
    assert "10,000 runs would not do" in " ".join(section.runs_needed(frames["runs_needed"], declared))
    assert set(section.needed_view(frames["runs_needed"], {})["For the mean"]) <= {"> 10,000"} | {
        text for text in section.needed_view(frames["runs_needed"], {})["For the mean"] if text.endswith("to > 10,000")
    }


def test_captions_tell_n_family_and_method() -> None:
    frames, declared = usual()
    for text in (
        section.caption_reversal(declared, frames["reversal"]),
        section.caption_curves(declared, frames["comparisons"]),
        section.caption_needed(declared, frames["runs_needed"]),
    ):
        assert text.startswith("n = 8 runs per technique. Varied: noise ulp (emulated).")
    assert "10 tests" in section.caption_needed(declared, frames["runs_needed"])
    assert "Newcombe" in section.caption_reversal(declared, frames["reversal"])


def test_tables_for_readers_have_at_most_nine_columns_of_text() -> None:
    for case in (usual, paired, lambda: many(12)):
        frames, _ = case()
        assert section.needed_view(frames["runs_needed"], {})["Runs now"].eq("8").all()
        for view in (section.reversal_view(frames["reversal"], {}), section.needed_view(frames["runs_needed"], {})):
            assert len(view) <= 11 and len(view.columns) <= 9
            assert all(isinstance(cell, str) for cell in view.to_numpy().ravel())


# Figure


def selected(case: Callable[[], tuple[dict, dict]]) -> tuple[pd.DataFrame, dict]:
    frames, declared = case()
    return style.select(frames["comparisons"], declared, "protected"), declared


def test_the_curves_pass_through_the_power_in_the_table() -> None:
    rows, declared = selected(lambda: many(4))
    found = runs_needed.power_curves(rows, declared)
    assert set(found["which"]) == {"typical", "worst"} and set(found["n"]) == set(runs_needed.NUMBERS)
    now = found[found["n"] == RUNS].merge(rows[["technique", "metric", "power_mean"]], on=["technique", "metric"])
    assert len(now) == 2 * 3
    np.testing.assert_allclose(now["power"], now["power_mean"])
    typical, worst = (now[now["which"] == which].set_index("technique")["power"] for which in ("typical", "worst"))
    assert (worst <= typical).all()


def test_the_figure_shows_few_techniques_singly_and_many_as_a_range() -> None:
    few, declared = selected(lambda: many(4))
    left, right = runs_needed.how_many_runs_figure(few, declared).axes
    assert (
        "1.00 points" in left.get_title("left") and "grey: the 8 there are" in left.get_xlabel() == right.get_xlabel()
    )
    assert [text.get_text() for text in left.get_legend().get_texts()][:3] == ["T1", "T2", "T3"]
    several, declared = selected(lambda: many(9))
    left, _ = runs_needed.how_many_runs_figure(several, declared).axes
    assert left.get_legend().get_texts()[0].get_text().startswith("8 techniques")


def test_the_alternative_text_tells_numbers() -> None:
    rows, declared = selected(lambda: many(4))
    text = runs_needed.alt_how_many_runs(rows, declared)
    assert "at 16 runs" in text and "MaxDiff grows from 2.3 to 4.7" in text
    rows, declared = selected(not_fit)
    assert "no test was made" in runs_needed.alt_how_many_runs(rows, declared)
    assert arm()["kind"] == "emulated"
