"""A plain PyTorch loop with what fitlib needs: a Recorder, its batches instead of the loader's, and the predictions.

callable: plain_loop:train
"""

import people
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fitlib


def train(run_dir, run=0, seed=0, noise="none", noise_seed=0, epochs=6, width=16):
    """Train once; the run's predictions, history and evidence are in `run_dir`."""
    data = people.load()
    x, y = torch.tensor(data["x"]), torch.tensor(data["income"] == ">50K").long()
    torch.manual_seed(seed)  # before the network is built
    model = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader = DataLoader(TensorDataset(x, y), 32, shuffle=True, generator=torch.Generator().manual_seed(seed))

    recorder = fitlib.Recorder(model, run_dir, run=run, seed=seed, noise=noise, noise_seed=noise_seed)
    history = []
    for epoch in range(epochs):
        for inputs, labels in recorder.batches(loader):
            loss = nn.functional.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        history += accuracies(epoch, predicted(model, data["test_x"]).argmax(1), data)

    scores = predicted(model, data["test_x"])
    fitlib.save_predictions(
        run_dir,
        ground_truth=data["test_income"] == ">50K",
        prediction=scores.argmax(1),
        score=scores[:, 1],
        protected={"sex": data["test_sex"]},
        classes=["<=50K", ">50K"],
        history=history,
    )


def predicted(model, x):
    """Probabilities (rows, 2)."""
    with torch.no_grad():
        return model(torch.tensor(x)).softmax(1)


def accuracies(epoch, prediction, data):
    """One history row for each group: the accuracy on its test rows."""
    right = prediction.numpy() == (data["test_income"] == ">50K")
    groups = {name: right[data["test_sex"] == name] for name in ("female", "male")}
    return [{"epoch": epoch, "group": name, "test_accuracy": float(r.mean())} for name, r in groups.items()]
