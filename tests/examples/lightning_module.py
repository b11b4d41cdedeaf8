"""A PyTorch Lightning module: the Recorder gets the module, the trainer gets the Recorder's batches.

callable: lightning_module:train, with `pip install "fitlib[lightning]"`
"""

import people
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fitlib


class Classifier(LightningModule):
    """Two layers, cross-entropy."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))

    def training_step(self, batch, number):
        """Loss of a batch."""
        x, y = batch
        return nn.functional.cross_entropy(self.network(x), y)

    def configure_optimizers(self):
        """SGD with momentum."""
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def train(run_dir, run=0, seed=0, noise="none", noise_seed=0, epochs=3):
    """Train once; the run's predictions and evidence are in `run_dir`."""
    data = people.load()
    x, y = torch.tensor(data["x"]), torch.tensor(data["income"] == ">50K").long()
    torch.manual_seed(seed)  # before the network is built
    module = Classifier()
    loader = DataLoader(TensorDataset(x, y), 32, shuffle=True, generator=torch.Generator().manual_seed(seed))

    recorder = fitlib.Recorder(module, run_dir, run=run, seed=seed, noise=noise, noise_seed=noise_seed)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, recorder.batches(loader))

    with torch.no_grad():
        scores = module.network(torch.tensor(data["test_x"])).softmax(1)
    fitlib.save_predictions(
        run_dir,
        ground_truth=data["test_income"] == ">50K",
        prediction=scores.argmax(1),
        score=scores,
        protected={"sex": data["test_sex"]},
        classes=["<=50K", ">50K"],
    )
