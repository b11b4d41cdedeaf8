"""The fingerprint of a run: everything that must be equal for two runs to count as identical, but the declared noise.

It is measured where the run runs, part by part, so that a difference can be named.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch

from fitlib.datasets import Dataset
from fitlib.digest import digest_arrays, digest_file, digest_json
from fitlib.evaluation import Trained
from fitlib.keys import LEFT_OUT

PACKAGES = ("torch", "numpy", "pyarrow")
# Prefixes of variables that can change numbers; folders and names of people stay out of reports.
VARIABLES = ("OMP_", "MKL_", "KMP_", "OPENBLAS_", "ATEN_", "CUBLAS_", "DNNL_", "ONEDNN_", "NVIDIA_TF32")


def fingerprint(parameters: Mapping[str, object], dataset: Dataset, trained: Trained, device: str) -> dict[str, object]:
    """`{"fingerprint": hash of all parts, "parts": {part: digest or short text}}` of a finished training.

    `parameters` are the run's resolved parameters without run index and noise.
    """
    parts = {
        "parameters": digest_json(dict(parameters)),
        "fitlib source": _source_digest(),
        "training data": digest_arrays(dataset.train.arrays()),
        "test data": digest_arrays(dataset.test.arrays()),
        **_further_data(dataset),
        "initial weights": trained.digest("initial weights"),
        "first batch": trained.digest("first batch"),
        "data order": digest_json([row["digest"] for row in trained.digests if row["part"] == "order"]),
        **environment(device),
    }
    return {"fingerprint": digest_json(parts), "parts": parts}


def _further_data(dataset: Dataset) -> dict[str, str]:
    """Parts beyond training and test, where a data set has any."""
    found = {"validation": dataset.validation, **dataset.extra}
    return {f"{name} data": digest_arrays(split.arrays()) for name, split in found.items() if split is not None}


def environment(device: str) -> dict[str, str]:
    """Software and hardware parts of the fingerprint."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "torch build": digest_json(torch.__config__.show()),
        "backends": _backends(),
        "threads": str(torch.get_num_threads()),
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "gpu": _gpu() if device == "cuda" else "none",
        "environment variables": _variables(),
    }


def _source_digest() -> str:
    """Hash of the sources of the fitlib modules that this process has imported; look-ups count as little as in keys."""
    names = [name for name in sys.modules if name.startswith("fitlib") and name not in LEFT_OUT]
    return digest_json({name: digest_file(sys.modules[name].__file__) for name in sorted(names)})


def _backends() -> str:
    flags = {
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "onednn": torch.backends.mkldnn.enabled,
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "cudnn deterministic": torch.backends.cudnn.deterministic,
        "cudnn tf32": torch.backends.cudnn.allow_tf32,
        "cudnn benchmark": torch.backends.cudnn.benchmark,
    }
    return ", ".join(f"{name} {value}" for name, value in flags.items())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    wanted = {"model name": "", "cpu family": "", "model": "", "stepping": ""}
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in wanted and not wanted[name.strip()]:
            wanted[name.strip()] = value.strip()
    return " ".join([wanted["model name"], *(f"{k} {v}" for k, v in list(wanted.items())[1:] if v)])


def _gpu() -> str:
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def _variables() -> str:
    chosen = sorted((k, v) for k, v in os.environ.items() if k.startswith(VARIABLES))
    return ", ".join(f"{k}={v}" for k, v in chosen) or "none"
