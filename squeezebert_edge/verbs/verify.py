"""An existing bundle proven again."""

from __future__ import annotations

import exporters
from exporters.precision import NO_WISHES, Gates
from exporters.units import CPU, Unit
from squeezebert_edge.bundle.manifest import Verification
from squeezebert_edge.bundle.opened import Bundle
from squeezebert_edge.forms.balancing import quantizable
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.proof.parity import verify
from squeezebert_edge.proof.reference import threads_for
from squeezebert_edge.proof.weights import prove_weights


def verify_bundle(
    bundle: Bundle,
    *,
    source: str | None = None,
    gates: Gates = NO_WISHES,
    runtime: str | None = None,
    unit: Unit = CPU,
    progress: Progress = silent,
) -> Verification:
    """Prove an existing bundle against its checkpoint again.

    Args:
        source: where the checkpoint is now; by default where the manifest says it was.
        gates: limits to use in place of the precision's own; None in them keeps its own.
        unit: what is to compute it. Where that takes seconds a row, fewer rows are compared.

    Raises:
        InputError: the checkpoint is not there, or is not the one the bundle was made from; or the unit does
            not compute in the bundle's precision.
        UnavailableError: the unit cannot be run, or emulated, on this machine.
        GateError: the unit refuses the bundle's files, or the float model of this installation is wrong.
    """
    limits = bundle.gates_on(unit).replaced_by(gates)
    progress(f"opening {bundle.directory.name} on {unit}", 0, 0)
    runner = bundle.load_runner(runtime=runtime, unit=unit)
    progress("loading the checkpoint", 0, 0)
    checkpoint = bundle.load_checkpoint(source)
    format_ = exporters.get(bundle.manifest.format)
    longest = bundle.manifest.lengths[-1]
    large = threads_for(checkpoint.model, longest) > 1
    apart = large and format_.runs_beside and unit == CPU
    proof = verify(
        checkpoint, bundle.task, runner, limits, fewer=not unit.is_cpu, apart=apart, progress=progress
    )
    if unit != CPU:
        return proof
    progress("comparing weights", 0, 0)
    module = lay_out(quantizable(checkpoint, bundle.precision), type(bundle.task), bundle.manifest.form)
    return prove_weights(proof, bundle.artifact, module, format_, bundle.precision, longest)
