"""A runtime of this machine as a program that speaks JSON lines, as android_demo's command line wants it.

python tests/fakes/host_runtime.py FORMAT
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from squeezebert_edge.devices.python.runtimes import RUNTIMES


def answers(format_: str, asked: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What computes; nothing to the artifact to open; to inputs the outputs by name, flat."""
    runtime = RUNTIMES[format_](None)
    yield {"name": runtime.name, "version": runtime.version}
    opened = next(asked)
    artifact = Path(opened["artifact"])
    outputs = [one["name"] for one in json.loads((artifact.parent / "manifest.json").read_text())["outputs"]]
    runtime.open(artifact, opened["threads"], None)
    yield {}
    for row in asked:
        inputs = {name: np.array([values], np.int32) for name, values in row["inputs"].items()}
        computed = runtime.query(row["entry_point"], inputs, outputs)()
        yield {name: value.ravel().tolist() for name, value in zip(outputs, computed, strict=True)}


if __name__ == "__main__":
    for answer in answers(sys.argv[1], (json.loads(line) for line in sys.stdin)):
        print(json.dumps(answer), flush=True)
