"""Weight files: read as tensors only, and compared name by name with the network that uses them."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from fitlib.errors import InputError
from fitlib.options import expand_path

SHOWN = 3  # tensors named in an error


def load_weights(network: nn.Module, path: str, replaceable: str) -> None:
    """Copy the tensors of a weight file into `network`; the layer `replaceable` keeps its weights if sizes differ.

    The file is written by `torch.save(model.state_dict(), path)`. Every other tensor must be present with the same
    shape and none may be left over; otherwise InputError names the first ones. Batch counters, which are missing from
    files of old PyTorch versions, may be absent.
    """
    expected = network.state_dict()
    given = _without_misfit(read_weights(path), expected, f"{replaceable}.")
    optional = {name for name in expected if name.endswith("num_batches_tracked") or name.startswith(f"{replaceable}.")}
    wrong = [f"{name} is missing" for name in expected if name not in given and name not in optional]
    wrong += [f"{name} is unknown" for name in given if name not in expected]
    wrong += [
        f"{name} has shape {tuple(tensor.shape)}, not {tuple(expected[name].shape)}"
        for name, tensor in given.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    if wrong:
        problem = f"{len(wrong)} tensors do not fit this network: {'; '.join(wrong[:SHOWN])}"
        raise InputError("network", "weights", path, problem, "give the weight file of the same architecture and width")
    network.load_state_dict(given, strict=False)


def read_weights(path: str) -> dict[str, Tensor]:
    """Read the named tensors of a weight file; a file with anything else is refused (`weights_only=True`).

    `$NAME` and `~` in the path are expanded.
    """
    file = Path(expand_path(path))
    if not file.is_file():
        raise InputError("network", "weights", path, "no such file", "give the path of a weight file (.pth)")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        problem = f"not a file of tensors ({type(error).__name__})"
        raise InputError("network", "weights", path, problem, "give a file written from model.state_dict()") from error
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        problem = "not a plain mapping from names to tensors"
        raise InputError("network", "weights", path, problem, "give a file written from model.state_dict()")
    return state


def _without_misfit(given: dict[str, Tensor], expected: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Drop the replaceable layer's tensors if one of them has another size."""
    fits = all(t.shape == expected[n].shape for n, t in given.items() if n.startswith(prefix) and n in expected)
    return given if fits else {n: t for n, t in given.items() if not n.startswith(prefix)}
