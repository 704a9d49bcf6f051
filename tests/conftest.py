"""What tests share: where real inputs are, when they are there, and the iOS demo's package, built once."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
import torch

from tests.toolchains import swift

# Tests run in several processes, and tiny models gain nothing from threads: beside other work they wait for
# each other most of the time. What a test starts inherits it.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of real checkpoints and data sets; tests that need it are skipped without it."""
    beside_checkout = Path(__file__).parents[2] / "shared"
    directory = Path(os.environ.get("SQUEEZEBERT_EDGE_DATA", beside_checkout))
    if not (directory / "checkpoints").is_dir():
        pytest.skip("real data is not here: set SQUEEZEBERT_EDGE_DATA")
    return directory


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> swift.Kit:
    """The iOS demo's package, built once, whatever the number of processes that tests run in."""
    if not swift.has_swift():
        pytest.skip(swift.HINT)
    base = tmp_path_factory.getbasetemp()
    shared_base = base if worker_id == "master" else base.parent
    scratch = shared_base / "swift"
    scratch.mkdir(exist_ok=True)
    with (shared_base / "swift.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return swift.Kit(swift.build(scratch), shared_base)
