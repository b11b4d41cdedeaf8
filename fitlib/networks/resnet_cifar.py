"""ResNet-18 for images of 32x32 pixels, as commonly trained on CIFAR-10."""

from __future__ import annotations

from fitlib.networks.resnet import BasicBlock, ResidualNetwork


class CifarResNet18(ResidualNetwork):
    """3x3 convolution of stride 1, four stages of two basic blocks, mean over the last map, one linear layer.

    Stages have `width` · (1, 2, 4, 8) channels and strides 1, 2, 2, 2: a 4x4 map and 512 features at 32x32 pixels.
    Initial weights are PyTorch's defaults; 11,173,962 parameters with 10 outputs.  Reference: He et al., CVPR 2016.
    """

    def __init__(self, shape: tuple[int, int, int], n_outputs: int, width: int = 64):
        super().__init__(shape, n_outputs, width, BasicBlock, (2, 2, 2, 2))
