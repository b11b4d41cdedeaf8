"""The commands `verify` and `export`: checking results, and packing them to be shared."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.cli.arguments import add_command, root_hash
from fitlib.cli.lookup import result_folder
from fitlib.cli.terminal import show
from fitlib.extras import require

if TYPE_CHECKING:
    from fitlib.cli.arguments import Commands


def add_commands(commands: Commands) -> None:
    """Add `verify` and `export` to the parser."""
    text = "re-hash every artifact, derive every table again, check that runs were identical"
    sub = add_command(commands, "verify", verify, text)
    sub.add_argument("experiment", help="name of an experiment, a folder, or a FILE.zip written by fitlib export")
    sub.add_argument("--root", type=root_hash, metavar="HASH", help="the root hash of the manifest, kept elsewhere")
    sub.add_argument("--full", action="store_true", help="also derive again what involves random draws")
    text = "pack notebooks, tables, report, plan and software versions into one RO-Crate to share"
    sub = add_command(commands, "export", export, text)
    sub.add_argument("experiment", help="name of an experiment, or the folder of an experiment or analysis")
    sub.add_argument("--to", type=Path, required=True, metavar="FILE.zip", help="where to write")
    text = "include the predictions, one row per person: they can be personal data"
    sub.add_argument("--predictions", action="store_true", help=text)


def verify(options: argparse.Namespace) -> int:
    """Verify an experiment, an analysis or an archive; exit status 1 where something deviates."""
    # tables are compared to the byte, so they are computed as they were: at one thread, set before numpy is imported
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    from fitlib.audit.verify import summary, verify

    archive = Path(options.experiment)
    if archive.suffix == ".zip" and not archive.is_dir():
        from fitlib.audit.verify_archive import verify_archive

        found = verify_archive(archive, options.root, options.full)
    else:
        found = verify(result_folder(options), options.root, options.full)
    for line in found.deviations:
        show(line)
    for line in [*found.remarks, *summary(found)]:
        show(line, sys.stderr)
    return 0 if found.intact else 1


def export(options: argparse.Namespace) -> int:
    """Write an RO-Crate and print what it contains."""
    require("crate")
    from fitlib.audit.export import export, export_summary
    from fitlib.storage.paths import ExperimentPaths

    done = export(ExperimentPaths(result_folder(options)), options.to, options.predictions)
    show("\n".join(export_summary(done)))
    return 0
