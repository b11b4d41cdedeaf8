"""Residual networks: ResNet-18 for images of 32x32 pixels, ResNet-18 and ResNet-50 in ImageNet layout.

Tensors are named as in torchvision's weight files.

Reference: He et al., Deep Residual Learning for Image Recognition, CVPR 2016.
"""

from __future__ import annotations

from torch import Tensor, nn

from fitlib.errors import InputError
from fitlib.experiment.registry.networks import CifarResNetOptions, ResNetOptions
from fitlib.training.networks.weight_files import load_weights

STAGES = ("layer1", "layer2", "layer3", "layer4")


class BasicBlock(nn.Module):
    """relu(x + F(x)), F two 3x3 convolutions; if the shape changes, x passes through a 1x1 convolution."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, width, h / stride, w / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + self.downsample(x))


class Bottleneck(nn.Module):
    """relu(x + F(x)), F a 1x1, a 3x3 (which carries the stride) and a 1x1 convolution to four times the width."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, 4 · width, h / stride, w / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + self.downsample(x))


class ResidualNetwork(nn.Module):
    """A stem, four stages of residual blocks (`layer1` … `layer4`), a pool and the linear layer `fc`.

    Stage k has width · 2^(k-1) channels times the block's expansion and halves the map from the second stage on.
    """

    stem_stride = 1  # of the stem as a whole
    block: type[BasicBlock | Bottleneck]
    depths: tuple[int, int, int, int]  # blocks of each stage

    def __init__(self, shape: tuple[int, int, int], n_outputs: int, options: CifarResNetOptions | ResNetOptions):
        super().__init__()
        self.shape, self.width, self.expansion = tuple(shape), options.width, self.block.expansion
        self.make_stem(shape[0], self.width)
        inputs = self.width
        for number, (name, depth) in enumerate(zip(STAGES, self.depths, strict=True)):
            stage = _stage(self.block, inputs, self.width * 2**number, depth, stride=min(number + 1, 2))
            setattr(self, name, stage)
            inputs = self.width * 2**number * self.expansion
        self.n_features = self.pooled_size()
        self.fc = nn.Linear(self.n_features, n_outputs)

    def make_stem(self, channels: int, width: int) -> None:
        """Create the layers before the first stage: for small images one 3x3 convolution of stride 1."""
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def stem(self, x: Tensor) -> Tensor:
        """Return the input of the first stage."""
        return self.relu(self.bn1(self.conv1(x)))

    def pool(self, x: Tensor) -> Tensor:
        """Average the map of the last stage: (n, channels, h, w) to (n, channels)."""
        return x.mean((2, 3))

    def pooled_size(self) -> int:
        """Return the number of values that `pool` returns for one image."""
        return self.map_shape("layer4")[0]

    @property
    def head(self) -> nn.Module:
        """The linear layer; torchvision calls it `fc`."""
        return self.fc

    def map_shape(self, layer: str) -> tuple[int, int, int]:
        """Return (channels, height, width) of a stage's map; every halving rounds up."""
        number = STAGES.index(layer)
        reduction = self.stem_stride * 2**number
        sides = (-(-side // reduction) for side in self.shape[1:])
        return (self.width * 2**number * self.expansion, *sides)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps of all four stages, by name, from one forward pass."""
        maps, x = {}, self.stem(x)
        for name in STAGES:
            x = maps[name] = getattr(self, name)(x)
        return maps

    def features(self, x: Tensor) -> Tensor:
        """Return the pooled features (n, n_features) that the head classifies."""
        return self.pool(self.maps(x)["layer4"])

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, n_outputs)."""
        return self.head(self.features(x))

    def forward_with(self, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
        """Return the logits and the map of one stage from one forward pass, as an adversary on that map needs."""
        maps = self.maps(x)
        return self.head(self.pool(maps["layer4"])), maps[layer]


class CifarResNet18(ResidualNetwork):
    """3x3 convolution of stride 1, four stages of two basic blocks, mean over the last map, one linear layer.

    Stages have `width` · (1, 2, 4, 8) channels and strides 1, 2, 2, 2: a 4x4 map and 512 features at 32x32 pixels.
    Initial weights are PyTorch's defaults; 11,173,962 parameters with 10 outputs.  Reference: He et al., CVPR 2016.
    """

    block, depths = BasicBlock, (2, 2, 2, 2)


class ImageNetResNet(ResidualNetwork):
    """7x7 convolution of stride 2, 3x3 maximum pool of stride 2, four stages, pool, `fc`.

    Convolutions start from N(0, 2 / (k² · out channels)), batch normalisation from 1 and 0, `fc` from PyTorch's
    default. `pool: padded` averages windows of 7x7 at stride 1 with two rings of counted zeros, as the FairALM study
    does: 2x2 means of a 4x4 map, and so 2,048 features of a ResNet-18 at 128x128. `weights` is a weight file.
    """

    stem_stride = 4

    def __init__(self, shape: tuple[int, int, int], n_outputs: int, options: ResNetOptions):
        self.padded = options.pool == "padded"  # first, since the base class asks for `pooled_size`
        super().__init__(shape, n_outputs, options)
        self.apply(_initialise)
        if options.weights:
            load_weights(self, options.weights, replaceable="fc")

    def make_stem(self, channels: int, width: int) -> None:
        """Create the layers before the first stage."""
        self.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    def stem(self, x: Tensor) -> Tensor:
        """Return the input of the first stage: a quarter of the image's height and width."""
        return self.maxpool(super().stem(x))

    def pool(self, x: Tensor) -> Tensor:
        """Return the global mean, or the flattened means of padded 7x7 windows."""
        if not self.padded:
            return super().pool(x)
        return nn.functional.avg_pool2d(x, 7, stride=1, padding=2).flatten(1)

    def pooled_size(self) -> int:
        """Return the number of values that `pool` returns for one image; padded windows need a map of 3x3 or more."""
        channels, height, width = self.map_shape("layer4")
        if not self.padded:
            return channels
        if min(height, width) < 3:
            problem = f"its last map has only {height}x{width} pixels, too few for windows of 7x7 padded by 2"
            raise InputError("network", "pool", "padded", problem, "use pool: global, or images of 65 pixels or more")
        return channels * (height - 2) * (width - 2)


class ResNet18(ImageNetResNet):
    """Two basic blocks a stage; 11,689,512 parameters with 1,000 outputs."""

    block, depths = BasicBlock, (2, 2, 2, 2)


class ResNet50(ImageNetResNet):
    """3, 4, 6 and 3 bottleneck blocks; 25,557,032 parameters with 1,000 outputs."""

    block, depths = Bottleneck, (3, 4, 6, 3)


def _stage(block: type[BasicBlock | Bottleneck], inputs: int, width: int, depth: int, stride: int) -> nn.Sequential:
    first = block(inputs, width, stride)
    return nn.Sequential(first, *(block(width * block.expansion, width, 1) for _ in range(depth - 1)))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
