"""A real SLURM on this one machine, all of it in a folder: munged, slurmctld and slurmd, started and ended here.

Needs Debian's packages `slurmctld slurmd munge slurm-client` and the rights of root. Nothing outside the folder is
written, and no service of the system is touched.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo")
CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MpiDefault=none
ReturnToService=2
MaxArraySize=1001
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why a cluster cannot be started here; empty where it can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"{', '.join(absent)} not found: apt-get install slurmctld slurmd munge slurm-client"
    return "" if os.geteuid() == 0 else "SLURM's daemons need root here"


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start the daemons in a folder; the environment in which SLURM's commands find them."""
    started: list[subprocess.Popen] = []
    environment = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}
    _configure(folder)
    try:
        for command in _daemons(folder):
            with open(folder / f"{command[0]}.out", "ab") as log:  # the daemon keeps a descriptor of its own
                started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            time.sleep(1)
        _wait_for_node(environment)
        yield environment
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)


def _configure(folder: Path) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host, cpus = socket.gethostname().partition(".")[0], os.cpu_count() or 1
    control, node = _free_ports()
    text = CONFIGURATION.format(folder=folder, host=host, cpus=cpus, control=control, node=node)
    (folder / "slurm.conf").write_text(text)


def _daemons(folder: Path) -> list[list[str]]:
    files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log"}
    files["seed-file"] = "munge.seed"
    munge = [f"--{option}={folder / name}" for option, name in files.items()]
    return [["munged", "--foreground", "--force", *munge], ["slurmctld", "-D", "-i"], ["slurmd", "-D"]]


def _wait_for_node(environment: dict[str, str], seconds: float = 60) -> None:
    end, state = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        found = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True)
        state = (found.stdout + found.stderr).strip()
        if state == "idle":
            return
        time.sleep(0.5)
    raise RuntimeError(f"the node of the cluster is not idle but: {state}")


def _free_ports() -> list[int]:
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
