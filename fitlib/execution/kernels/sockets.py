"""Private folders for the Unix sockets of kernels, at short paths that no other user can reach."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path

SOCKET_BYTES = 90  # a Unix socket's path may have 104 bytes on some systems; jupyter_client adds "-1" to "-5"


def private_folder() -> Path:
    """Make a folder that only this user can enter, named by host and process, so that stale ones can be found."""
    return Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=_parent_folders()[0]))


def socket_path(folder: Path) -> str | None:
    """Return the path of sockets in a private folder; None where the system has none or the path is too long."""
    path = str(folder / "socket")
    return path if os.name == "posix" and len(path.encode()) <= SOCKET_BYTES else None


def remove_stale_folders() -> None:
    """Remove the private folders that killed processes of this machine left behind."""
    for folder in [f for place in _parent_folders() for f in Path(place).glob(f"{_prefix()}*-*")]:
        owner = folder.name.removeprefix(_prefix()).partition("-")[0]
        if owner.isdigit() and not _is_running(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _parent_folders() -> list[str]:
    """Return where private folders go, best first: the temporary folder, unless its path is too long for a socket."""
    default = tempfile.gettempdir()
    name = f"{_prefix()}{os.getpid()}-12345678/socket"
    fits = len(os.path.join(default, name).encode()) <= SOCKET_BYTES
    return [default] if fits or not os.access("/tmp", os.W_OK) else ["/tmp", default]


def _prefix() -> str:
    return f"fitlib-{platform.node()[:12]}-"


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
