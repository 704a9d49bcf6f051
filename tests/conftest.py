"""Where real inputs are found, when they are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # tests run in several processes; tiny models gain nothing from threads


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of real checkpoints and data sets; tests that need it are skipped without it."""
    beside_checkout = Path(__file__).parents[2] / "shared"
    directory = Path(os.environ.get("SQUEEZEBERT_EDGE_DATA", beside_checkout))
    if not (directory / "checkpoints").is_dir():
        pytest.skip("real data is not here: set SQUEEZEBERT_EDGE_DATA")
    return directory
