"""An existing bundle proven again."""

from __future__ import annotations

from exporters.precision import NO_WISHES, Gates
from squeezebert_edge.bundle.manifest import Verification
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.proof.parity import verify


def verify_bundle(
    bundle: Bundle,
    *,
    source: str | None = None,
    gates: Gates = NO_WISHES,
    runtime: str | None = None,
    progress: Progress = silent,
) -> Verification:
    """Prove an existing bundle against its checkpoint again.

    Args:
        source: where the checkpoint is now; by default where the manifest says it was.
        gates: limits to use in place of the precision's own; None in them keeps its own.

    Raises:
        InputError: the checkpoint is not there, or is not the one the bundle was made from.
    """
    progress("loading the checkpoint", 0, 0)
    checkpoint = bundle.load_checkpoint(source)
    return verify(
        checkpoint,
        bundle.task,
        bundle.load_runner(runtime=runtime),
        bundle.precision.gates.replaced_by(gates),
        progress=progress,
    )
