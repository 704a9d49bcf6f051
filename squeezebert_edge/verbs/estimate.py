"""About how long a run takes, so that whoever starts it knows whether to wait.

Rough, of two cores of an AMD EPYC; another machine takes another time, and a busy one longer.
"""

from __future__ import annotations

from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.forms import choices
from squeezebert_edge.latency.protocol import Protocol
from squeezebert_edge.model import complexity
from squeezebert_edge.verbs.plan import Plan

# Processor seconds to make one bundle: the tools' start, and a layer at one length, in float and quantized.
EXPORT = {"executorch": (5.0, 1.2, 3.6), "coreml": (9.0, 0.5, 0.7), "tflite": (9.0, 0.9, 0.7)}
PROOF_ROWS = 140  # that reference and artifact compute at one length or another, the longest in most
GFLOP_PER_SECOND = 15.0  # of a core, in any runtime
ROW_SECONDS = 0.004  # what a row takes however small the network is
BESIDE_QUERIES = 3.0  # seconds of a measurement beside its queries: the start of its process, warm-up


def estimate(
    checkpoint: Checkpoint,
    missing: Plan,
    *,
    jobs: int,
    pairs: int,
    examples: int,
    protocol: Protocol | None,
) -> float:
    """Seconds until all is done.

    Args:
        missing: the plan of the bundles that are made, `jobs` side by side.
        pairs: how many bundles there are in all. Each, and the reference, answers labelled `examples`, and is
            measured by the protocol.
    """
    layers, lengths = checkpoint.config.num_hidden_layers, missing.lengths
    architecture = type(checkpoint.model).__name__
    gflop = [
        complexity.total(complexity.count(checkpoint.config, length, architecture)).gflop
        for length in lengths
    ]
    a_row = ROW_SECONDS + sum(gflop) / len(gflop) / GFLOP_PER_SECOND
    making = [
        _export_seconds(*pair, layers * len(lengths)) + 2 * PROOF_ROWS * a_row for pair in missing.pairs
    ]
    shortest = ROW_SECONDS + gflop[0] / GFLOP_PER_SECOND  # most labelled texts fit there
    scoring = examples * (pairs + 1) * shortest
    beside = 0.0 if protocol is None else pairs * (protocol.seconds + BESIDE_QUERIES)
    return max([sum(making) / max(1, jobs), *making]) + scoring + beside


def _export_seconds(format_: str, precision: str, layers: int) -> float:
    """Processor seconds to make a bundle, of so many layers at all lengths together."""
    start, in_float, quantized = EXPORT.get(format_, EXPORT["tflite"])
    is_float = choices.exact_precision(format_, precision).name.startswith("fp")
    return start + layers * (in_float if is_float else quantized)
