"""Private folders for what kernels listen on: Unix sockets at short paths, where nobody else can reach them."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path

SOCKET_BYTES = 90  # a Unix socket's path may have 104 bytes on some systems; jupyter_client adds "-1" to "-5"


def private_folder() -> Path:
    """A new folder that only this user can enter, named by host and process, so that what is left can be found."""
    return Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=_places()[0]))


def socket_path(folder: Path) -> str | None:
    """Where in a private folder sockets go; None where the system has none, or the path is too long for them."""
    path = str(folder / "socket")
    return path if os.name == "posix" and len(path.encode()) <= SOCKET_BYTES else None


def sweep() -> None:
    """Remove the private folders that killed processes of this machine left behind."""
    for folder in [f for place in _places() for f in Path(place).glob(f"{_prefix()}*-*")]:
        owner = folder.name.removeprefix(_prefix()).partition("-")[0]
        if owner.isdigit() and not _runs(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _places() -> list[str]:
    """Folders for private folders, best first: the temporary folder, unless its path is too long for a socket."""
    usual = tempfile.gettempdir()
    name = f"{_prefix()}{os.getpid()}-12345678/socket"
    fits = len(os.path.join(usual, name).encode()) <= SOCKET_BYTES
    return [usual] if fits or not os.access("/tmp", os.W_OK) else ["/tmp", usual]


def _prefix() -> str:
    return f"fitlib-{platform.node()[:12]}-"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
