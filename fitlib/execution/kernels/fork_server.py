"""The template process: imports the modules that kernels need, then forks a kernel for each request of its owner.

Its owner starts it with the number of an inherited Unix socket and the names of the modules to import. It answers
with a JSON message once it is ready, then reads requests: a JSON message (`command`, `env`, `cwd`) with three
descriptors: standard output, standard error, and a socket for messages about the kernel (`pid`, `ready`, `exit`). It
ends, and its kernels with it, when the other end of its socket is closed, which happens however its owner ends.

Started with `alone`, the names of the modules and the command of a kernel, this script becomes that kernel. It imports
the same modules at the same point, so that the results and records of a run cannot depend on whether a fork succeeded.

Before a fork, no code here may open a parallel region, start a thread or touch a GPU: none of them survives a fork.
"""

import sys

_HERE = sys.path.pop(0) if sys.path and __file__.startswith(sys.path[0]) else None  # not on an ordinary kernel's path

import os  # noqa: E402
import runpy  # noqa: E402, F401 (imported by python -m, which starts an ordinary kernel)
import warnings  # noqa: E402

_ENVIRONMENT = dict(os.environ)
import ipykernel.kernelapp  # noqa: E402

_BASE = set(sys.modules)  # the modules of an ordinary kernel before its first cell

import atexit  # noqa: E402
import builtins  # noqa: E402
import contextlib  # noqa: E402
import ctypes  # noqa: E402
import gc  # noqa: E402
import importlib.util  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import selectors  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import threading  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from typing import NoReturn, cast  # noqa: E402

IDLE_SECONDS = 900  # a template ends after this time without kernels and requests
CHECK_SECONDS = 5  # how often it checks for its owner's pid, in addition to the socket
CANARY_SECONDS = 20
PR_SET_NAME, PR_SET_PDEATHSIG = 15, 1
INLINE = "module://matplotlib_inline.backend_inline"  # set by every kernel before its first cell


def main() -> None:
    """Serve the owner of the socket, or become a single kernel where there is none."""
    if sys.argv[1] == "alone":
        start_alone(json.loads(sys.argv[2]), sys.argv[3:])
    else:
        serve_owner()


def start_alone(names: list[str], command: list[str]) -> None:
    """Become a cold kernel; where its folder contains a module with an imported one's name, run the plain command."""
    prepare(names)
    if set(imported()) & {name.partition(".")[0] for name in os.listdir()}:
        os.execvpe(command[0], command, _ENVIRONMENT)
    _pose_as(command)
    _kernel_app().start()


def serve_owner() -> None:
    """Import, answer, serve; in each forked kernel this returns when the kernel has ended, in the template never."""
    control, names = socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2])
    owner = os.getppid()
    _name("fitlib-template")
    try:
        prepare(names)
        _check_fork()
    except BaseException as error:
        _send(control, {"error": f"{type(error).__name__}: {error}"})
        raise
    base = {k: v for k, v in os.environ.items() if _ENVIRONMENT.get(k) != v}
    _send(control, {"names": imported(), "path": sys.path})
    request = serve(control, owner)
    if request is not None:
        try:
            become_kernel(base, *request)
        except Exception:  # it was no kernel yet: no client expects an orderly end
            traceback.print_exc()
            os._exit(1)


def prepare(names: list[str]) -> None:
    """Import the named modules; skip missing and broken ones."""
    os.environ.setdefault("MPLBACKEND", INLINE)
    gc.disable()
    with imitated_shell():
        for name in names:
            with contextlib.suppress(Exception):
                __import__(name)
    gc.freeze()  # so that a collection in a kernel does not copy all pages
    gc.enable()


def imported() -> list[str]:
    """Return the names of imported modules: code of these names in a kernel's folder would be hidden by them."""
    return sorted({name.partition(".")[0] for name in sys.modules.keys() - _BASE} | {"matplotlibrc"})


@contextlib.contextmanager
def imitated_shell() -> Iterator[None]:
    """Imitate the variables by which modules, such as pandas, recognise that they are imported in a kernel."""
    shell = type("Shell", (), {"kernel": True})()
    builtins.get_ipython, builtins.__IPYTHON__ = lambda: shell, True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del builtins.get_ipython, builtins.__IPYTHON__  # type: ignore[attr-defined]


def _check_fork() -> None:
    """Fork a canary process that computes in parallel: it hangs where a parallel region was open before the fork."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            _compute_in_parallel()
        os._exit(0)
    watched = os.pidfd_open(pid)
    with selectors.DefaultSelector() as selector:
        selector.register(watched, selectors.EVENT_READ)
        alive = not selector.select(CANARY_SECONDS)
    os.close(watched)
    if alive:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if alive:
        raise RuntimeError("a forked process hangs when it computes in parallel")


def _compute_in_parallel() -> None:
    for name in ("torch", "numpy"):
        library = sys.modules.get(name)
        if library is None:
            continue
        if name == "torch":
            library.set_num_threads(2)
        library.ones((1 << 18,)).sum()
        library.ones((256, 256)) @ library.ones((256, 256))


# Serving


def serve(control: socket.socket, owner: int) -> tuple | None:
    """Fork for each request until the owner is gone; in a forked process, return its request and descriptors."""
    kernels: dict[int, tuple[int, socket.socket]] = {}  # {descriptor of the process: (pid, its status socket)}
    idle = 0
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while os.getppid() == owner and idle < IDLE_SECONDS:
            ready = [key.fd for key, _ in selector.select(CHECK_SECONDS)]
            for watched in [fd for fd in ready if fd in kernels]:
                selector.unregister(watched)
                _reap(watched, *kernels.pop(watched))
            idle = 0 if kernels or ready else idle + CHECK_SECONDS
            if control.fileno() not in ready:
                continue
            received = _receive(control)
            if received is None:
                break
            if _fork(kernels, *received):
                control.close()
                return received
            selector.register(next(reversed(kernels)), selectors.EVENT_READ)
    _end(kernels)


def _fork(kernels: dict, request: dict, descriptors: list[int]) -> bool:
    """Fork; return True in the forked process. The template adds the new kernel to `kernels` and reports its pid."""
    with warnings.catch_warnings():  # idle threads, such as those of OpenBLAS, are started again in the fork
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        for watched, (_, status) in kernels.items():
            os.close(watched)
            status.close()
        return True
    *streams, status = descriptors
    for descriptor in streams:
        os.close(descriptor)
    kernels[os.pidfd_open(pid)] = (pid, socket.socket(fileno=status))
    _send(kernels[next(reversed(kernels))][1], {"pid": pid})
    return False


def _receive(control: socket.socket) -> tuple[dict, list[int]] | None:
    """Return the next request with its descriptors; None where the other end is closed."""
    try:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 22, 3)
    except OSError:
        return None
    return (json.loads(data), descriptors) if data else None


def _reap(watched: int, pid: int, status: socket.socket) -> None:
    os.close(watched)
    _send(status, {"exit": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])})
    status.close()


def _end(kernels: dict) -> NoReturn:
    """Kill the kernels and the processes that they started, then end."""
    for pid, _ in kernels.values():
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(OSError):
                kill(pid, signal.SIGKILL)
    for pid, _ in kernels.values():
        os.waitpid(pid, 0)
    os._exit(0)


def _send(to: socket.socket, message: dict) -> None:
    with contextlib.suppress(OSError):  # the receiver may be gone
        to.send(json.dumps(message).encode())


def _name(name: str) -> None:
    """Set the name of the process in `ps` and `top`."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


# In the kernel


def _pose_as(command: list[str]) -> None:
    """Make the process's recorded command line that of the command."""
    sys.orig_argv[:] = command
    launcher = importlib.util.find_spec("ipykernel_launcher")
    sys.argv[:] = [launcher.origin, *command[3:]]  # type: ignore[union-attr, list-item]  # it is installed, a file


def _kernel_app(parent: int | None = None) -> ipykernel.kernelapp.IPKernelApp:
    """Return ipykernel's application, ready to start; it ends when `parent`, a pid, is no longer its parent."""
    app = ipykernel.kernelapp.IPKernelApp.instance()
    if parent is not None:
        app.parent_handle = parent  # read from the environment when its class was made
    app.initialize(sys.argv[1:])
    if "__mp_main__" in sys.modules:  # the name that multiprocessing, imported before, gave this script
        sys.modules["__mp_main__"] = sys.modules["__main__"]
    return app


def become_kernel(base: dict[str, str], request: dict, descriptors: list[int]) -> None:
    """Put a forked process into the state of a cold kernel (`start_alone`) and run the kernel until it ends."""
    template = os.getppid()
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != template:
        os._exit(1)
    _name("fitlib-kernel")
    *streams, status = descriptors
    _redirect(*streams)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update({**base, **request["env"]})
    _pose_as(request["command"])
    _reseed()

    app = _kernel_app(template)
    with socket.socket(fileno=status) as owner:
        _send(owner, {"ready": True})
    app.start()
    _leave()


def _leave() -> None:
    """End as Python does, but without deallocating the imported modules, which would first copy most of their pages."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as the end of the main thread does
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


def _redirect(stdout: int, stderr: int) -> None:
    """Redirect standard output and error to the given descriptors, standard input to an empty file."""
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
        os.close(source)
    sys.stdin = sys.__stdin__ = _text(0, "r", sys.__stdin__)  # type: ignore[misc, arg-type]
    sys.stdout = sys.__stdout__ = _text(1, "w", sys.__stdout__)  # type: ignore[misc, arg-type]
    sys.stderr = sys.__stderr__ = _text(2, "w", sys.__stderr__)  # type: ignore[misc, arg-type]
    sys.stderr.reconfigure(line_buffering=not sys.stderr.write_through)


def _text(descriptor: int, mode: str, like: io.TextIOWrapper) -> io.TextIOWrapper:
    opened = open(descriptor, mode, encoding=like.encoding, errors=like.errors, closefd=False)  # noqa: SIM115
    stream = cast(io.TextIOWrapper, opened)
    stream.reconfigure(write_through=like.write_through)
    return stream


def _reseed() -> None:
    """Seed generators from the operating system again, so that no two kernels share a state.

    Python's own generator reseeds itself after a fork.
    """
    numpy, torch = sys.modules.get("numpy.random"), sys.modules.get("torch")
    if numpy is not None:
        numpy.seed()
    if torch is not None:
        torch.default_generator.seed()


if __name__ == "__main__":
    main()
