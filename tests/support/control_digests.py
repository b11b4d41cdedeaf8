"""Train the control arm of every configuration in a separate process, and print all digests as JSON.

python control_digests.py [SECONDS]: the clock is set forward by that many seconds, as on a later day.
"""

from __future__ import annotations

import json
import sys
import time

import torch

from fitlib.experiment.registry.methods import METHODS
from fitlib.training.noise import NoNoise
from tests.support.method_examples import Example, configurations, table, trained


def digests() -> dict[str, list]:
    """Return {name of the configuration: digest rows of its control run}, for two epochs each."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    return {name: _run(method, example) for name, (method, example) in configurations(METHODS).items()}


def _run(method: str, example: Example) -> list[dict]:
    changes = {} if "stages" in example.training else {"epochs": 2}
    changes |= {} if example.data is table else {"shift": 1}
    return trained(method, example, noise=NoNoise(0, 0), **changes).digests


if __name__ == "__main__":
    ahead, now = float((sys.argv[1:] or ["0"])[0]), time.time
    time.time = lambda: now() + ahead
    print(json.dumps(digests()))
