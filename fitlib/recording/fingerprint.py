"""The fingerprint of a run: everything but the declared noise that must be equal for two runs to count as identical.

It is measured in the process of the run, part by part, so that a difference can be named. torch is used only where the
process has imported it.
"""

from __future__ import annotations

import os
import platform
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fitlib.digest import digest_arrays, digest_file, digest_json, is_excluded
from fitlib.machine import gpu_driver, machine

if TYPE_CHECKING:
    from fitlib.datasets.dataset import Dataset
    from fitlib.training.evaluation import Trained

PACKAGES = ("torch", "numpy", "pyarrow")
# Prefixes of variables that can change numbers; paths and user names stay out of reports.
VARIABLES = ("OMP_", "MKL_", "KMP_", "OPENBLAS_", "ATEN_", "CUBLAS_", "DNNL_", "ONEDNN_", "NVIDIA_TF32")


def fingerprint(parameters: Mapping[str, object], dataset: Dataset, trained: Trained, device: str) -> dict[str, object]:
    """Return `{"fingerprint": hash of all parts, "parts": {part: digest or short text}}` of a finished training.

    `parameters` are the run's resolved parameters without run index and noise.
    """
    parts = {
        "parameters": digest_json(dict(parameters)),
        "fitlib source": source_digest(),
        "training data": digest_arrays(dataset.train.arrays()),
        "test data": digest_arrays(dataset.test.arrays()),
        **_further_data(dataset),
        **start_parts(trained.digests),
        **environment(device),
    }
    return with_hash(parts)


def with_hash(parts: Mapping[str, str]) -> dict[str, object]:
    """Return `{"fingerprint": hash of all parts, "parts": …}`.

    >>> with_hash({"seed": "0"})["parts"]
    {'seed': '0'}
    """
    return {"fingerprint": digest_json(dict(parts)), "parts": dict(parts)}


def start_parts(digests: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the parts of the fingerprint that a training records: initial weights, first batch, data order."""
    single = {row["part"]: row["digest"] for row in digests if row["part"] in ("initial weights", "first batch")}
    return {**single, "data order": digest_json([row["digest"] for row in digests if row["part"] == "order"])}


def _further_data(dataset: Dataset) -> dict[str, str]:
    """Return the digests of further parts of a data set, beside training and test."""
    found = {"validation": dataset.validation, **dataset.extra}
    return {f"{name} data": digest_arrays(split.arrays()) for name, split in found.items() if split is not None}


def environment(device: str, packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the software and hardware parts; those of torch where the process has imported it."""
    torch = sys.modules.get("torch")
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        **(_torch_parts(torch) if torch else {"threads": _processors()}),
        "machine": machine(),
        "gpu": _gpu(sys.modules["torch"]) if device == "cuda" else "none",
        "environment variables": _variables(),
    }


def observed_parts() -> dict[str, str]:
    """Return the software and hardware parts of a process that runs a custom training.

    All imported packages count, also those that a kernel imports before its first cell (`fitlib.execution.kernels`),
    and (part "own source") all imported modules that belong to no package.
    """
    torch = sys.modules.get("torch")
    device = "cuda" if torch and torch.cuda.is_initialized() else "cpu"
    source = {"fitlib source": source_digest(), "own source": _custom_source()}
    parts = environment(device, imported_packages())
    return {**source, **parts, "threads": ", ".join([parts["threads"], *_thread_pools()])}


def imported_packages() -> list[str]:
    """Return the installed packages that this process has imported modules of, sorted, without fitlib."""
    found = _packages(tuple(os.stat(path).st_mtime_ns for path in sys.path if os.path.isdir(path)))
    top = {name.partition(".")[0] for name in sys.modules}
    return sorted({package for name in top for package in found.get(name, ())} - {"fitlib"})


@cache
def _packages(changed: tuple[int, ...]) -> Mapping[str, list[str]]:
    """Return the installed packages by importable name; read again when a folder of packages has changed."""
    return packages_distributions()


def _custom_source() -> str:
    """Return the hash of imported modules outside the standard library, installed packages and fitlib."""
    paths = sysconfig.get_paths()
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    installed = tuple({*(paths[kind] + os.sep for kind in kinds), *(p + os.sep for p in _site_folders())})
    files = {name: getattr(m, "__file__", None) or "" for name, m in list(sys.modules.items())}
    others = {
        name: Path(file) for name, file in files.items() if file.endswith(".py") and not file.startswith(installed)
    }
    custom = {name: path for name, path in others.items() if name.partition(".")[0] != "fitlib" and path.is_file()}
    return digest_json({name: digest_file(custom[name]) for name in sorted(custom)}) if custom else "none"


def _site_folders() -> list[str]:
    return [*site.getsitepackages(), site.getusersitepackages()]


def source_digest() -> str:
    """Return the hash of the fitlib modules that this process has imported, without those that keys leave out, too."""
    names = [name for name in sys.modules if name.partition(".")[0] == "fitlib" and not is_excluded(name)]
    return digest_json({name: digest_file(str(sys.modules[name].__file__)) for name in sorted(names)})


def _torch_parts(torch: ModuleType) -> dict[str, str]:
    return {
        "torch build": digest_json(torch.__config__.show()),
        "backends": _backends(torch),
        "threads": str(torch.get_num_threads()),
    }


def _processors() -> str:
    """Return the number of processors that this process may use."""
    return str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


def _thread_pools() -> list[str]:
    """Return the threads of the numeric libraries, as far as threadpoolctl (imported by scikit-learn) knows them."""
    control = sys.modules.get("threadpoolctl")
    pools = control.threadpool_info() if control else []
    return sorted({f"{pool['prefix']} {pool.get('version')} {pool['num_threads']}" for pool in pools})


def _backends(torch: ModuleType) -> str:
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


def _gpu(torch: ModuleType) -> str:
    properties = torch.cuda.get_device_properties(0)
    libraries = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return f"{properties.name}, driver {gpu_driver()}, {libraries}"


def _variables() -> str:
    chosen = sorted((k, v) for k, v in os.environ.items() if k.startswith(VARIABLES))
    return ", ".join(f"{k}={v}" for k, v in chosen) or "none"
