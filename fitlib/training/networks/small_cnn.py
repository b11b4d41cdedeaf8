"""A small convolutional network for images of a few pixels."""

from __future__ import annotations

from torch import Tensor, nn

from fitlib.experiment.registry.networks import SmallCNNOptions


class SmallCNN(nn.Module):
    """Two 3x3 convolutions with batch normalisation and pooling, one hidden layer, one linear head.

    `forward` maps images (rows, channels, height, width) to `n_outputs` logits per row. The maps after the two poolings
    are `layer1` (width channels) and `layer2` (2 width channels).
    """

    def __init__(self, shape: tuple[int, int, int], n_outputs: int, options: SmallCNNOptions):
        super().__init__()
        width, (channels, height, width_pixels) = options.width, shape
        self.n_features = 4 * width
        self.map_shapes = {
            "layer1": (width, height // 2, width_pixels // 2),
            "layer2": (2 * width, height // 4, width_pixels // 4),
        }
        self.body = nn.Sequential(
            *_block(channels, width),
            nn.MaxPool2d(2),
            *_block(width, 2 * width),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * width * (height // 4) * (width_pixels // 4), self.n_features),
            nn.ReLU(),
            nn.Dropout(options.dropout),
        )
        self.head = nn.Linear(self.n_features, n_outputs)

    def features(self, x: Tensor) -> Tensor:
        """Return the features (rows, n_features) that the head classifies."""
        return self.body(x)

    def map_shape(self, layer: str) -> tuple[int, int, int]:
        """Return (channels, height, width) of a map."""
        return self.map_shapes[layer]

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps after the two poolings, by name, from one forward pass."""
        first = self.body[:4](x)
        return {"layer1": first, "layer2": self.body[4:8](first)}

    def forward_with(self, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
        """Return the logits and one map from one forward pass, as an adversary on that map needs."""
        maps = self.maps(x)
        return self.head(self.body[8:](maps["layer2"])), maps[layer]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (rows, n_outputs)."""
        return self.head(self.features(x))


def _block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
