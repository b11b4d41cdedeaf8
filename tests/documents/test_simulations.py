"""benchmarks/simulate.py: its quick ways give fitlib's own verdicts, and single tables replace only themselves."""

from pathlib import Path

import numpy as np
import pytest

from tests.documents.test_docs import benchmark

LESS_FAIR_GROUPS = np.array([[0.0, 0.0, -1.5], [-0.9, 0.6, -1.5]])  # logits of the classes by group
A_CLASS_RARELY_PREDICTED = np.array([[0.0, 0.0, -7.5], [0.3, 0.0, -7.5]])


@pytest.mark.parametrize(
    ("shape", "runs", "techniques", "scale", "favour", "expected"),
    [
        ("normal", (5,), 3, 1e-9, None, "open"),
        ("skewed", (8,), 2, 0.3, LESS_FAIR_GROUPS, "less fair"),
        ("normal", (8,), 2, 3.0, A_CLASS_RARELY_PREDICTED, "equivalent"),
        ("skewed", (8, 2), 2, 0.3, LESS_FAIR_GROUPS, "less fair"),
    ],
)
def test_a_simulated_headline_is_that_of_fitlibs_tables(
    shape: str, runs: tuple[int, ...], techniques: int, scale: float, favour: np.ndarray | None, expected: str
) -> None:
    headline, rng = benchmark("headline"), np.random.default_rng([techniques, *runs])
    other = headline.FAVOUR if favour is None else favour
    assert expected in headline.check_tables(shape, runs, techniques, scale, rng, other)


@pytest.mark.parametrize("runs", [(6,), (8, 2)])
def test_levels_of_many_families_are_those_of_each(runs: tuple[int, ...]) -> None:
    headline, rng = benchmark("headline"), np.random.default_rng(1)
    samples = headline.samples_of(headline.draw_counts("skewed", rng, (60, 4, *runs), len(runs) == 2), len(runs) == 2)
    smallest = headline.p_values(samples).min(axis=(1, 2))
    samples, smallest = samples.at(smallest < 0.05), smallest[smallest < 0.05]
    levels = headline.family_levels(samples, rotations=999)
    own = [
        headline.family_level(headline._family(samples.at(slice(i, i + 1))), rotations=999) for i in range(len(levels))
    ]
    np.testing.assert_allclose(levels, own, rtol=1e-9)
    below = headline.below_level(samples, smallest, rotations=999, portion=100)
    assert below.tolist() == (smallest < levels).tolist()
    assert 0 < below.sum() < below.size


def test_too_many_wrong_headlines_are_noticed() -> None:
    simulate, share = benchmark("simulate"), benchmark("procedures").Share
    row = [9, "5 runs", "normal", share(710, 1000), share(50, 1000), share(0, 1000), share(0, 1000)]
    assert simulate.broken_headlines({simulate.HEADLINE: [row]}) == []
    wrong = [*row[:4], share(80, 1000), *row[5:]]
    assert len(simulate.broken_headlines({simulate.HEADLINE: [row, wrong]})) == 1


def test_one_table_is_replaced_and_a_new_one_stands_in_its_place(tmp_path: Path) -> None:
    simulate, page = benchmark("simulate"), tmp_path / "page.md"
    first, second, third = list(simulate.QUESTIONS)[:3]
    sections = "\n\n".join(f"### {title}\n\nold {title}" for title in (first, third))
    page.write_text(f"prose\n{simulate.MARKS[0]}\n\nhead\n\n{sections}\n\n{simulate.MARKS[1]}\nend\n")
    simulate.replace_section(page, third, f"### {third}\n\nnew")
    simulate.replace_section(page, second, f"### {second}\n\nadded")
    told = f"head\n\n### {first}\n\nold {first}\n\n### {second}\n\nadded\n\n### {third}\n\nnew\n\n"
    assert page.read_text() == f"prose\n{simulate.MARKS[0]}\n\n{told}{simulate.MARKS[1]}\nend\n"
