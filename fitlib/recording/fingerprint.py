"""The fingerprint of a run: everything that must be equal for two runs to count as identical, but the declared noise.

It is measured where the run runs, part by part, so that a difference can be named. torch is asked only where the
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
from typing import TYPE_CHECKING

from fitlib.digest import digest_arrays, digest_file, digest_json, left_out
from fitlib.machine import gpu_driver, machine

if TYPE_CHECKING:
    from fitlib.datasets.dataset import Dataset
    from fitlib.training.evaluation import Trained

PACKAGES = ("torch", "numpy", "pyarrow")
# Prefixes of variables that can change numbers; folders and names of people stay out of reports.
VARIABLES = ("OMP_", "MKL_", "KMP_", "OPENBLAS_", "ATEN_", "CUBLAS_", "DNNL_", "ONEDNN_", "NVIDIA_TF32")


def fingerprint(parameters: Mapping[str, object], dataset: Dataset, trained: Trained, device: str) -> dict[str, object]:
    """`{"fingerprint": hash of all parts, "parts": {part: digest or short text}}` of a finished training.

    `parameters` are the run's resolved parameters without run index and noise.
    """
    parts = {
        "parameters": digest_json(dict(parameters)),
        "fitlib source": source_digest(),
        "training data": digest_arrays(dataset.train.arrays()),
        "test data": digest_arrays(dataset.test.arrays()),
        **_further_data(dataset),
        **starts(trained.digests),
        **environment(device),
    }
    return marked(parts)


def marked(parts: Mapping[str, str]) -> dict[str, object]:
    """`{"fingerprint": hash of all parts, "parts": …}`."""
    return {"fingerprint": digest_json(dict(parts)), "parts": dict(parts)}


def starts(digests: Sequence[Mapping[str, object]]) -> dict[str, str]:
    """Parts of the fingerprint that a training records: initial weights, first batch, order of the data."""
    single = {row["part"]: row["digest"] for row in digests if row["part"] in ("initial weights", "first batch")}
    return {**single, "data order": digest_json([row["digest"] for row in digests if row["part"] == "order"])}


def _further_data(dataset: Dataset) -> dict[str, str]:
    """Parts beyond training and test, where a data set has any."""
    found = {"validation": dataset.validation, **dataset.extra}
    return {f"{name} data": digest_arrays(split.arrays()) for name, split in found.items() if split is not None}


def environment(device: str, packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Software and hardware parts of the fingerprint; torch's own where the process has imported torch."""
    torch = sys.modules.get("torch")
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        **(_torch_parts(torch) if torch else {"threads": _processors()}),
        "machine": machine(),
        "gpu": _gpu(torch) if device == "cuda" else "none",
        "environment variables": _variables(),
    }


def seen_from_outside() -> dict[str, str]:
    """Software and hardware parts of a process whose training fitlib did not write.

    All imported packages count, also those that a kernel imports before its first cell (`fitlib.execution.kernels`),
    and (part "own source") all imported modules that belong to none of them.
    """
    torch = sys.modules.get("torch")
    device = "cuda" if torch and torch.cuda.is_initialized() else "cpu"
    own = {"fitlib source": source_digest(), "own source": _own_source()}
    parts = environment(device, imported_packages())
    return {**own, **parts, "threads": ", ".join([parts["threads"], *_thread_pools()])}


def imported_packages() -> list[str]:
    """Installed packages of which this process has imported a module, but fitlib; sorted."""
    found = _packages(tuple(os.stat(path).st_mtime_ns for path in sys.path if os.path.isdir(path)))
    top = {name.partition(".")[0] for name in sys.modules}
    return sorted({package for name in top for package in found.get(name, ())} - {"fitlib"})


@cache
def _packages(changed: tuple[int, ...]) -> Mapping[str, list[str]]:
    """Installed packages by importable name; read again when a folder of packages has changed."""
    return packages_distributions()


def _own_source() -> str:
    """Hash of the sources of imported modules that are neither Python's, nor a package's, nor fitlib's."""
    paths = sysconfig.get_paths()
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    known = tuple({*(paths[kind] + os.sep for kind in kinds), *(p + os.sep for p in _site_folders())})
    files = {name: getattr(m, "__file__", None) or "" for name, m in list(sys.modules.items())}
    own = {name: Path(file) for name, file in files.items() if file.endswith(".py") and not file.startswith(known)}
    mine = {name: path for name, path in own.items() if name.partition(".")[0] != "fitlib" and path.is_file()}
    return digest_json({name: digest_file(mine[name]) for name in sorted(mine)}) if mine else "none"


def _site_folders() -> list[str]:
    return [*site.getsitepackages(), site.getusersitepackages()]


def source_digest() -> str:
    """Hash of the sources of the fitlib modules that this process has imported; look-ups count as little as in keys."""
    names = [name for name in sys.modules if name.partition(".")[0] == "fitlib" and not left_out(name)]
    return digest_json({name: digest_file(sys.modules[name].__file__) for name in sorted(names)})


def _torch_parts(torch: ModuleType) -> dict[str, str]:
    return {
        "torch build": digest_json(torch.__config__.show()),
        "backends": _backends(torch),
        "threads": str(torch.get_num_threads()),
    }


def _processors() -> str:
    """Number of processors that this process may use."""
    return str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


def _thread_pools() -> list[str]:
    """Threads of the numeric libraries, as far as threadpoolctl (which scikit-learn imports) can tell."""
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
