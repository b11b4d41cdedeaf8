"""Warm kernels: forked from a template, they are what cold kernels are, end with their owner, and leave nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import nbclient
import nbformat
import papermill
import psutil
import pytest
from jupyter_client.kernelspec import KernelSpecManager

from fitlib.errors import Crashed
from fitlib.execution.kernels import fork_client as templates
from fitlib.execution.kernels import manager as manager_kernels
from fitlib.execution.kernels import sockets
from fitlib.execution.kernels.fork_client import ANALYSIS, EVERYTHING
from fitlib.execution.run_notebook import execute

pytestmark = pytest.mark.skipif(not templates.available(), reason="kernels are forked on Linux only")

# What a cell can see of the process that it runs in. `threads` of libraries that wait for work are not compared.
SEEN = """
import builtins, json, os, signal, sys, warnings

print("SEEN" + json.dumps({
    "modules": sorted(name for name in sys.modules if not name.startswith("_cy")),  # Cython's own, by no import
    "attributes": {n: sorted(k for k, v in vars(m).items() if isinstance(v, type(sys)))
                   for n, m in sys.modules.items() if n not in ("torch.ops", "__main__")
                   and not n.startswith("_cy") and hasattr(m, "__dict__")},
    "environment": dict(os.environ),
    "warning filters": [str(entry) for entry in warnings.filters],
    "path": sys.path, "argv": [os.path.basename(word) for word in sys.argv], "command": sys.orig_argv[:4],
    "folder": os.getcwd(),
    "builtins": sorted(dir(builtins)),
    "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)],
    "streams": [(s.encoding, s.errors, s.line_buffering) for s in (sys.__stdin__, sys.__stdout__, sys.__stderr__)],
    "standard input": sys.__stdin__.read(),
    "callbacks": {k: [f.__qualname__ for f in v] for k, v in get_ipython().events.callbacks.items()},
    "session": os.getsid(0) == os.getpid() == os.getpgid(0),
}))
"""


@pytest.fixture(autouse=True)
def begin(monkeypatch):
    """Kernels take thread numbers from the test alone, whatever earlier tests left in the environment."""
    for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    manager_kernels.begin()


def notebook(folder: Path, *cells: str, name: str = "n.ipynb") -> Path:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells])
    made.metadata = {"kernelspec": {"name": "fitlib", "language": "python", "display_name": "fitlib"}}
    nbformat.write(made, folder / name)
    return folder / name


def said(path: Path) -> str:
    """What the cells of an executed notebook printed."""
    cells = nbformat.read(path, 4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def run(folder: Path, *cells: str, modules=EVERYTHING, environment=None) -> str:
    """What cells print in a kernel of fitlib's own."""
    source, target = notebook(folder, *cells), folder / "out.ipynb"
    execute(source, target, {}, environment or {"OMP_NUM_THREADS": "2"}, folder / "log", modules=modules)
    return said(target)


def is_forked(text: str) -> bool:
    return "child of fitlib-template" in text


def fork_none(monkeypatch):
    """Cold kernels, but for the variable that asks for them, which a cell could see."""
    monkeypatch.setattr("fitlib.execution.kernels.provisioner.available", lambda: False)


FORKED = "import os; print('child of', open(f'/proc/{os.getppid()}/comm').read())"


# As cold ones


@pytest.mark.parametrize(
    "code",
    [
        "",
        "import pandas",
        pytest.param("import numpy as np; import scipy.stats; np.random.rand()", marks=pytest.mark.slow),
        pytest.param("import torch; torch.optim.SGD([torch.ones(2, requires_grad=True)], 0.1).step()"),
        pytest.param(
            "import seaborn as s; import matplotlib.pyplot as p; p.plot([1]); p.show()", marks=pytest.mark.slow
        ),
    ],
)
def test_a_forked_kernel_sees_what_a_cold_one_sees(tmp_path, monkeypatch, code):
    """Modules, their attributes, environment, warning filters, streams …: nothing differs."""
    seen = []
    for way in ("forked", "cold"):
        text = run(tmp_path, code or "1", SEEN, FORKED)
        assert is_forked(text) == (way == "forked"), (tmp_path / "log").read_text()
        seen.append(json.loads(text.split("SEEN")[1].splitlines()[0]))
        fork_none(monkeypatch)
    forked, cold = seen
    assert {"pandas", "torch", "seaborn"} <= set(cold["modules"])
    for part, value in cold.items():
        assert forked[part] == value, part


def test_what_is_set_by_an_import_is_set_in_a_forked_kernel_too(tmp_path):
    text = run(tmp_path, "import pandas; print(pandas.get_option('display.max_columns'))")
    assert text.split() == ["20"]  # pandas looks whether it is imported in a notebook: in a terminal it is 0


def test_figures_appear_as_in_a_cold_kernel(tmp_path):
    run(tmp_path, "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()", modules=ANALYSIS)
    outputs = nbformat.read(tmp_path / "out.ipynb", 4).cells[0].outputs
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_kernels_of_one_template_share_no_generator_and_no_variable(tmp_path):
    draw = """
    import random, numpy, torch, os
    print(FOUND if "FOUND" in globals() else "clean", os.environ.get("LEFT"), numpy.pi)
    print(random.random(), numpy.random.rand(), torch.rand(1).item(), os.getpid())
    FOUND, os.environ["LEFT"], numpy.pi = 1, "1", 3
    """
    first, second = (run(tmp_path, draw).splitlines() for _ in range(2))
    assert first[0] == second[0] == f"clean None {__import__('math').pi}"
    assert not set(first[1].split()) & set(second[1].split())


def test_a_forked_kernel_computes_in_parallel(tmp_path):
    """It would hang if the template had opened a parallel region before the fork."""
    text = run(tmp_path, "import torch; print(torch.get_num_threads(), torch.ones(1 << 20).sum().item())", FORKED)
    assert text.startswith("2 1048576.0") and is_forked(text)


def test_a_template_that_has_computed_in_parallel_is_not_used(tmp_path, monkeypatch):
    (tmp_path / "computes.py").write_text("import torch; torch.set_num_threads(2); torch.ones(1 << 20).sum()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    script = "CANARY_SECONDS = 20"
    template = (templates.SCRIPT).read_text().replace(script, "CANARY_SECONDS = 2")
    (tmp_path / "template.py").write_text(template)
    monkeypatch.setattr(templates, "SCRIPT", tmp_path / "template.py")
    with pytest.raises(templates.TemplateError, match="hangs when it computes in parallel"):
        templates.Template(sys.executable, ["torch", "computes"], os.environ)


# Where kernels cannot be forked


@pytest.mark.parametrize("hindrance", ["wish", "module of the same name", "both"])
def test_a_cold_kernel_is_started_where_none_can_be_forked(tmp_path, monkeypatch, hindrance):
    """With the same modules imported; with none where a cell would not get its own module of that name."""
    if hindrance != "module of the same name":
        monkeypatch.setenv(templates.COLD, "1")
    if hindrance != "wish":
        (tmp_path / "seaborn.py").write_text("mine = True")
        monkeypatch.chdir(tmp_path)
    look = "import sys; print('torch' in sys.modules); import seaborn; print(hasattr(seaborn, 'mine'))"
    text = run(tmp_path, FORKED, look)
    assert text.split()[-2:] == [str(hindrance == "wish"), str(hindrance != "wish")] and not is_forked(text)


def test_a_module_that_is_missing_or_broken_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for forked in (True, False):
        text = run(tmp_path, FORKED, "import sys; print('zipapp' in sys.modules)", modules=["broken", "gone", "zipapp"])
        assert text.split()[-1] == "True" and is_forked(text) == forked
        fork_none(monkeypatch)


def test_a_template_is_renewed_when_packages_are_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    first = templates.template(sys.executable, ["json"], os.environ)
    assert templates.template(sys.executable, ["json"], os.environ) is first
    (tmp_path / "new_package").mkdir()
    assert templates.template(sys.executable, ["json"], os.environ) is not first


def test_a_long_temporary_folder_is_no_hindrance(tmp_path, monkeypatch):
    """The path of a Unix socket has about a hundred bytes."""
    long = tmp_path / ("d" * 80)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    folder = sockets.private_folder()
    assert folder.parent == Path("/tmp") and len(sockets.socket_path(folder)) <= sockets.SOCKET_BYTES
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    assert sockets.socket_path(long / "fitlib-host-1-12345678") is None  # TCP then
    assert "ran" in run(tmp_path, "print('ran')")


# The end


OWNER = """
import sys, time
from pathlib import Path
from fitlib.execution.kernels import manager as kernels
from fitlib.execution.run_notebook import execute
kernels.begin()
execute(Path(sys.argv[1]), Path(sys.argv[2]), {}, {}, None, lambda pid: print(pid, flush=True), modules=["json"])
"""


def processes_of(owner: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(owner.pid).children(recursive=True)


def test_kernels_and_templates_end_with_their_owner(tmp_path):
    """Also after SIGKILL, which it cannot answer; nothing is left but a folder that the next start removes."""
    source = notebook(tmp_path, "import time; time.sleep(600)")
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(source), str(tmp_path / "o.ipynb")], stdout=subprocess.PIPE, text=True
    )
    pid = int(owner.stdout.readline())
    left = processes_of(owner)
    assert {"fitlib-kernel", "fitlib-template"} == {p.name() for p in left} and pid in [p.pid for p in left]
    owner.kill()
    owner.communicate()
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
    manager_kernels.begin()
    assert not list(Path("/tmp").glob(f"fitlib-*-{owner.pid}-*"))


def test_kernels_end_with_their_template(tmp_path):
    source = notebook(tmp_path, "import time; time.sleep(600)")
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(source), str(tmp_path / "o.ipynb")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    pid = int(owner.stdout.readline())
    kernel = psutil.Process(pid)
    kernel.parent().kill()
    _, errors = owner.communicate(timeout=60)  # it notices
    assert "Crashed" in errors and (not kernel.is_running() or kernel.status() == psutil.STATUS_ZOMBIE)


def test_a_killed_kernel_is_noticed_and_leaves_its_notebook(tmp_path):
    source = notebook(tmp_path, "print('before')", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "1")
    with pytest.raises(Crashed, match="the kernel died"):
        execute(source, tmp_path / "out.ipynb", {}, {}, modules=["json"])
    assert "before" in said(tmp_path / "out.ipynb")


def test_exit_statuses_are_those_of_the_kernel():
    template = templates.Template(sys.executable, ["json"], os.environ)
    folder = sockets.private_folder()
    for signum in (signal.SIGKILL, signal.SIGTERM):
        kernel = started(template, folder)
        assert kernel.poll() is None
        kernel.send_signal(signum)
        assert kernel.wait(20) == kernel.poll() == -signum
        assert not psutil.pid_exists(kernel.pid)  # no zombie either
    template.close()
    for left in folder.iterdir():
        left.unlink()
    folder.rmdir()


def started(template: templates.Template, folder: Path) -> templates.ForkedKernel:
    from jupyter_client.connect import write_connection_file

    path, _ = write_connection_file(str(folder / "kernel.json"), ip=str(folder / "s"), transport="ipc", key=b"0")
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", path]
    with open(os.devnull, "w") as null:
        return template.fork(command, os.environ, str(folder), null.fileno(), null.fileno())


def test_nothing_is_left_after_the_end(tmp_path):
    """No process, no temporary file, whichever way the kernel ends."""
    code = OWNER + "from nbclient import NotebookClient; import nbformat, os\n"
    code += "NotebookClient(nbformat.read(sys.argv[1], 4), kernel_name='fitlib').execute()\n"
    code += "import psutil; print([p.name() for p in psutil.Process().children(recursive=True)])\n"
    source = notebook(tmp_path, "print('ran')")
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(source), str(tmp_path / "o.ipynb")],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert eval(done.stdout.splitlines()[-1]) == ["fitlib-template"] * 2  # no kernel; other lists, other templates
    time.sleep(0.5)
    assert not [p for p in psutil.process_iter() if p.name() == "fitlib-template" and p.ppid() == 1]
    assert [name for name in os.listdir(tmp_path / "tmp") if not name.startswith("torch")] == []


# From other programs


@pytest.fixture(scope="module")
def kernelspec():
    if "fitlib" not in KernelSpecManager().find_kernel_specs():
        pytest.skip("the kernel is not installed: jupyter kernelspec install kernelspec --name fitlib --sys-prefix")


def test_papermill_executes_in_the_kernel_by_its_name(tmp_path, kernelspec):
    source = notebook(tmp_path, "x = 1", FORKED, "print(x)")
    papermill.execute_notebook(source, tmp_path / "out.ipynb", kernel_name="fitlib", progress_bar=False)
    text = said(tmp_path / "out.ipynb")
    assert is_forked(text) and text.splitlines()[-1] == "1"


def test_nbclient_executes_in_the_kernel_by_its_name(tmp_path, kernelspec):
    made = nbformat.read(notebook(tmp_path, FORKED, "import pandas; pandas.DataFrame({'a': [1]})"), 4)
    done = nbclient.NotebookClient(made, kernel_name="fitlib").execute()
    assert is_forked(done.cells[0].outputs[0]["text"]) and "text/html" in done.cells[1].outputs[0]["data"]


def test_the_kernel_restarts_and_can_be_interrupted(kernelspec):
    """What JupyterLab does with it."""
    from jupyter_client import AsyncKernelManager

    async def scenario() -> list[str]:
        manager = AsyncKernelManager(kernel_name="fitlib")
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        client.execute("import time; time.sleep(600)")
        await asyncio.sleep(1)
        await manager.interrupt_kernel()
        replies = [(await client.get_shell_msg(timeout=30))["content"].get("ename")]
        before = manager.provisioner.pid
        await manager.restart_kernel()
        await client.wait_for_ready(timeout=60)
        replies.append(manager.provisioner.pid != before)
        client.stop_channels()
        await manager.shutdown_kernel()
        return replies

    assert asyncio.run(scenario()) == ["KeyboardInterrupt", True]


# Saving


def test_a_notebook_is_saved_as_often_as_time_allows(tmp_path, monkeypatch):
    """papermill saves all of it twice for each cell, which grows with the square of the number of cells."""
    from fitlib.execution.kernels import papermill_engine

    saved = []
    monkeypatch.setattr(
        papermill_engine.NotebookExecutionManager, "save", lambda self, **_: saved.append(time.sleep(0.05))
    )
    source = notebook(tmp_path, *["1"] * 40)
    execute(source, tmp_path / "out.ipynb", {}, {}, modules=["json"])
    assert 2 <= len(saved) < 40
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].execution_count == 40


# Bit for bit


EXPERIMENT = {
    "network": {"name": "small-cnn", "width": 4},
    "training": {"epochs": 2, "learning_rate": 0.05},
    "techniques": {"S-Base": {"method": "baseline"}},
    "baseline": "S-Base",
    "runs": 1,
    "control_runs": 0,
}
OWN = """
import os
import numpy as np
from fitlib import save_predictions

def train(run_dir: str, run: int = 0, seed: int = 0, noise: dict = {}):
    os.environ["OMP_NUM_THREADS"] = "1"  # what was imported before does not heed it
    import threadpoolctl, torch  # and tells of the libraries that others have loaded

    torch.manual_seed(0)
    truth = torch.randint(0, 2, (200,)).numpy()
    return {"ground_truth": truth, "prediction": np.roll(truth, 1), "protected": np.arange(200) % 2}
"""


@pytest.mark.parametrize("kind", ["fitlib's training", pytest.param("own training", marks=pytest.mark.slow)])
def test_a_run_in_a_forked_kernel_is_that_of_a_cold_kernel(tmp_path, monkeypatch, kind):
    """Every file but the executed notebook is equal to the last byte: predictions, digests, history, fingerprint.

    Of an ordinary kernel, too, but that the fingerprint of somebody's own training names all packages in its process.
    """
    from fitlib.experiment.parse import read_experiment
    from fitlib.experiment.plan import Plan
    from fitlib.storage.paths import ExperimentPaths

    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_training.py").write_text(OWN)
    own = {"callable": "my_training:train", "techniques": {"A": {}}, "baseline": "A", "runs": 1, "control_runs": 0}
    (tmp_path / "e.yaml").write_text(json.dumps(EXPERIMENT if kind == "fitlib's training" else own))
    experiment = read_experiment(tmp_path / "e.yaml")
    run = Plan(experiment, ExperimentPaths(tmp_path / "outputs")).runs[0]
    modules = templates.TRAINING if kind == "fitlib's training" else EVERYTHING
    for name, chosen in (("ordinary", ()), ("forked", modules), ("cold", modules)):
        folder = tmp_path / name
        folder.mkdir()
        parameters = {**run.parameters, "run_dir": str(folder)}
        if name == "cold":
            fork_none(monkeypatch)
        environment = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
        log = tmp_path / f"{name}.log"
        execute(run.spec.source.notebook, folder / "train.ipynb", parameters, environment, log, modules=chosen)
        assert "Traceback" not in log.read_text()
    ordinary, forked, cold = (contents(tmp_path / name) for name in ("ordinary", "forked", "cold"))
    assert {"fingerprint.json"} < cold.keys() and any("predictions" in name for name in cold)
    assert forked == cold
    if kind == "own training":
        del ordinary["fingerprint.json"], forked["fingerprint.json"]
    assert forked == ordinary


def contents(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "train.ipynb"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}
