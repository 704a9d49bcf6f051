"""What quantizing each part of a network costs by itself, computed in torch without an export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from squeezebert_edge.accuracy.answers import BatchedAnswers, compare
from squeezebert_edge.accuracy.paired import AccuracyComparison
from squeezebert_edge.accuracy.parts import PartCost
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.forms.calibration import Calibration
from squeezebert_edge.forms.rounding import RoundedNetwork
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix


class Sensitivity:
    """A float network with some of its parts quantized, compared with its reference on labelled examples.

    Args:
        reference: the answers of the same checkpoint.
        format_, exact: a format and one of its precisions that quantizes.
        calibration: for a precision that is calibrated.

    Attributes:
        parts: the names of the parts that can be quantized by themselves, in the network's order.

    Raises:
        InputError: the precision quantizes nothing, or it is calibrated and there is no calibration.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        reference: BatchedAnswers,
        format_: str,
        exact: str,
        calibration: Calibration | None = None,
    ) -> None:
        self._reference = reference
        self._network = RoundedNetwork(checkpoint, reference.data.task, format_, exact, calibration)
        self.parts = self._network.parts

    def rank(self, progress: Progress = silent) -> list[PartCost]:
        """Quantize each part by itself; the costliest comes first."""
        costs = []
        for number, part in enumerate(self.parts):
            progress("sensitivity", number, len(self.parts))
            comparison = self.measure([part])
            costs.append(PartCost(part, comparison.sqnr_db, comparison.metrics[0].drop))
        progress("sensitivity", len(self.parts), len(self.parts))
        return sorted(costs, key=lambda cost: cost.sqnr_db)

    def measure(self, quantized: Sequence[str], progress: Progress = silent) -> AccuracyComparison:
        """Compare the network, these parts of it quantized, with the float reference."""
        computed = BatchedAnswers(self._reference.data, self._network.rounded(quantized))
        return compare(self._reference, computed, progress=progress)


def fewest_in_float(
    sensitivity: Sensitivity, max_drop: float, progress: Progress = silent
) -> Iterator[tuple[str, ...]]:
    """Sets of parts that meet the gate in torch if they stay in float, the smallest set first.

    A runtime may differ a little from torch, so that its artifact may need one of the larger sets.

    Args:
        max_drop: of the first metric, in percentage points.
    """
    everything = sensitivity.parts
    if sensitivity.measure(everything, with_prefix("quantized", progress)).passes(max_drop):
        yield ()
    costs = sensitivity.rank(progress)
    for count in range(1, len(costs)):
        kept = tuple(cost.part for cost in costs[:count])
        rest = [part for part in everything if part not in kept]
        if sensitivity.measure(rest, with_prefix(f"{count} parts in float", progress)).passes(max_drop):
            yield kept
