"""Which epoch predicts, how it predicts, and what is measured on the way."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score

from fitlib.errors import InputError
from fitlib.experiment.training_options import Training
from fitlib.training.evaluation import macro_f1, mean_average_precision
from fitlib.training.loop import Generators, make_method
from fitlib.training.methods.baseline import Baseline
from fitlib.training.run_outputs import save_run
from tests.support.method_examples import NETWORK, Example, labels, learn, parts, toy, trained, with_validation


def test_the_best_epoch_on_the_validation_part_predicts():
    dataset = with_validation(toy())
    stages = [{"epochs": 4, "learning_rate": 0.05}, {"epochs": 3, "learning_rate": 5.0}]  # the second one spoils it
    result = learn(Training(stages=stages, batch_size=32, select="best-f1"), dataset)
    found = {row["epoch"]: row["validation_f1"] for row in result.history}
    best = max(found, key=found.get)  # the first of equals
    assert {row["epoch"] for row in result.history if row["selected"]} == {best} and best < 6
    assert result.digest("selected weights") == parts(result, "weights")[best]
    prediction, y = result.predictions({"T": "argmax"})["T"], dataset.test.y
    chosen = [row for row in result.history if row["selected"]]
    assert np.mean(prediction == y) == pytest.approx(
        np.average([r["test_accuracy"] for r in chosen], weights=[r["n"] for r in chosen])
    )


def test_an_epoch_of_an_unmeasured_stage_is_never_selected():
    stages = [{"epochs": 3, "learning_rate": 0.05, "measured": False}, {"epochs": 2, "learning_rate": 5.0}]
    result = learn(Training(stages=stages, batch_size=32, select="best-f1"), with_validation(toy()))
    assert {row["epoch"] for row in result.history if row["selected"]} <= {3, 4}
    with pytest.raises(InputError, match="no stage is measured"):
        learn(Training(stages=stages[:1], select="best-f1"), with_validation(toy()))


def test_the_last_epoch_predicts_by_default_and_a_selection_needs_a_validation_part():
    result = learn(Training(epochs=2))
    assert [row["selected"] for row in result.history] == [False, False, True, True]
    assert not parts(result, "selected weights")
    with pytest.raises(InputError, match="no validation part"):
        learn(Training(epochs=1, select="best-f1"))


def test_macro_f1_and_mean_average_precision_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 2, (300, 5)), rng.random((300, 5)).round(1)
    y[:, 4] *= y[:, 0]
    assert macro_f1(y, scores > 0.4) == pytest.approx(f1_score(y, scores > 0.4, average="macro"))
    assert mean_average_precision(y, scores) == pytest.approx(average_precision_score(y, scores, average="macro"))
    y[:, 2] = 0
    expected = average_precision_score(y[:, [0, 1, 3, 4]], scores[:, [0, 1, 3, 4]], average="macro")
    assert mean_average_precision(y, scores) == pytest.approx(expected)
    assert (
        macro_f1(np.zeros((3, 2), int), np.zeros((3, 2), int)) == 0
        and mean_average_precision(y[:, [2]], y[:, [2]]) is None
    )


def test_measuring_less_often_changes_no_weight():
    often, seldom = (learn(Training(epochs=5, measure_every=n)) for n in (1, 3))
    assert often.digests == seldom.digests
    assert [row["epoch"] for row in seldom.history[::2] if row["test_accuracy"] is not None] == [2, 4]
    last = [[row["test_accuracy"] for row in result.history[-2:]] for result in (often, seldom)]
    assert last[0] == last[1]


def test_predictions_in_training_mode_depend_on_their_batch_and_leave_the_training_alone():
    sound, odd, larger = (
        learn(Training(epochs=2, evaluation_batch=size, training_mode_predictions=asked))
        for asked, size in ((False, 20), (True, 20), (True, 60))
    )
    assert sound.digests == odd.digests
    assert not torch.equal(sound.scores(), odd.scores()) and not torch.allclose(odd.scores(), larger.scores())
    odd.method.model.train()
    by_hand = odd.method.scores(next(odd.inputs.prediction_inputs(odd.test, 20)))
    assert torch.equal(odd.scores()[:20], by_hand)
    again = learn(Training(epochs=2, evaluation_batch=20, training_mode_predictions=True))
    assert torch.equal(again.scores(), odd.scores()) and again.digests == sound.digests


def test_what_a_method_draws_while_it_predicts_is_the_same_each_time_and_does_not_reach_the_training():
    class Noisy(Baseline):
        def scores(self, x):
            return super().scores(x + 0.1 * torch.rand_like(x))

    often, seldom = (learn(Training(epochs=4, measure_every=n), method=Noisy) for n in (1, 4))
    assert often.digests == seldom.digests and torch.equal(often.scores(), often.scores())


# Several labels a row


def test_labels_are_learnt_and_measured_cell_by_cell(tmp_path):
    dataset = with_validation(labels())
    result = trained("baseline", Example(data=lambda: dataset))
    prediction = result.predictions({"T": "threshold"})["T"]
    assert prediction.shape == dataset.test.y.shape and prediction.dtype == np.int64
    for row in result.history[-2:]:
        member = dataset.test.protected == row["group"]
        assert row["test_accuracy"] == pytest.approx((prediction == dataset.test.y)[member].mean(), abs=1e-6)
    assert result.history[-1]["validation_f1"] > 0.9 and result.history[-1]["validation_map"] > 0.95
    names = save_run(tmp_path, result, dataset, {"T": "threshold"}, {})
    assert pq.read_table(tmp_path / names[0]).column("validation_map").null_count == 0


@pytest.mark.parametrize("name", ["oversampling", "domain-independent"])
def test_methods_for_classes_refuse_labels(name):
    with pytest.raises(InputError, match="one class for each row"):
        make_method({"name": name}, NETWORK, Training(), labels(), Generators.of(0))


def test_a_rule_that_does_not_fit_the_data_is_refused():
    with pytest.raises(InputError, match="sets of labels; choose another inference rule"):
        trained("baseline", Example(data=labels), epochs=1).predictions({"T": "argmax"})
