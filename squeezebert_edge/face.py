"""The face: six calls that take a checkpoint to a phone, each one verb with its usual defaults.

`import squeezebert_edge as edge` gives them as `edge.load`, `edge.export` and so on. What they leave out is
in `squeezebert_edge.verbs`: several bundles at once, progress, every option of the command line.

Each call imports what it needs, so that answering with a LiteRT bundle takes no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.errors import InputError
from squeezebert_edge.verbs import CALIBRATION_SAMPLES

if TYPE_CHECKING:
    from squeezebert_edge.accuracy.paired import AccuracyComparison
    from squeezebert_edge.bundle.manifest import Verification
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.checkpoint.checkpoint import Checkpoint
    from squeezebert_edge.latency.record import Record


def load(source: str | Path = "default", *, task: str | None = None) -> Checkpoint:
    """Load a checkpoint in Hugging Face's layout.

    Args:
        source: a directory, a hub id (owner/name), or "default", the embedded model.
        task: the head, if not the one that the checkpoint's config names; by Hugging Face's pipeline name.

    Raises:
        InputError: it cannot be found or read; says why.
    """
    from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
    from squeezebert_edge.checkpoint.task import architecture_of

    return load_checkpoint(str(source), architecture=architecture_of(task))


def export(
    checkpoint: Checkpoint | str | Path,
    format: str,  # noqa: A002  # the word that users know from `--to FORMAT`
    precision: str = "fp32",
    *,
    out: str | Path,
    lengths: Sequence[int] | None = None,
    form: str | None = None,
    ios: int = 17,
    calibration: str | Path | None = None,
    units: Sequence[str] = (),
    force: bool = False,
) -> Bundle:
    """Make one bundle, proven equal to the float model, in `out/FORMAT-PRECISION`.

    Args:
        format: executorch, coreml or tflite.
        precision: fp32, int8 (the best of the format), or another that the format has.
        lengths: sequence lengths in the artifact, ascending; by default 32, 64 and 128 as far as they fit.
        form: how the network is laid out; by default what suits the format and precision.
        ios: the oldest iOS that a Core ML bundle runs on.
        calibration: real texts for a calibrated precision; by default the built-in samples.
        units: what else of a phone it is made and proven for: gpu, npu:CHIP (such as npu:SM8650) or npu:all.
        force: replace a bundle that is there.

    Raises:
        InputError: a format, precision or length that cannot be had, or a bundle that is there already.
        GateError: the artifact, or what a unit runs, is not equal to the float model, or leaves products
            outside the delegate.
        UnavailableError: a unit cannot be served on this machine.
    """
    from exporters.units import parse_unit
    from squeezebert_edge.verbs.export import export_bundles
    from squeezebert_edge.verbs.plan import Plan, add_calibration, check_lengths, check_units, possible_pairs

    loaded = load(checkpoint) if isinstance(checkpoint, str | Path) else checkpoint
    pairs = possible_pairs([format], [precision])
    plan = Plan(
        pairs,
        check_lengths(lengths, loaded.config),
        ios=ios,
        form=form,
        units=check_units([parse_unit(unit) for unit in units], pairs),
    )
    plan = add_calibration(
        plan, loaded, None if calibration is None else Path(calibration), CALIBRATION_SAMPLES
    )
    (made,) = export_bundles(loaded, plan, Path(out), force=force)
    bundle = replace(made, allow_failed=False)
    for unit in ("cpu", *bundle.manifest.units):
        bundle.require_proof(parse_unit(unit))
    return bundle


def open_bundle(directory: str | Path, *, unit: str = "cpu", allow_failed: bool = False) -> Bundle:
    """Open a bundle and check every file against its manifest. A bundle that is called with a text answers.

    Args:
        unit: what is to compute it, whose proof is asked for: cpu, gpu, ane or npu:CHIP.
        allow_failed: whether a bundle whose proof failed is opened, to be looked at.

    Raises:
        InputError: not a bundle, or one that was altered.
        GateError: its proof failed.
    """
    from exporters.units import parse_unit
    from squeezebert_edge.bundle import opened

    return opened.open_bundle(
        Path(directory), unit=parse_unit(unit, on_phone=True), allow_failed=allow_failed
    )


def verify(
    bundle: Bundle | str | Path,
    *,
    unit: str | None = None,
    arithmetic: str | None = None,
    checkpoint: str | Path | None = None,
    runtime: str | None = None,
) -> Verification:
    """Prove a bundle against its checkpoint again.

    Args:
        unit: what is to compute it: cpu, gpu, or an npu:CHIP, which runs in its vendor's emulator; by default
            the CPU.
        arithmetic: "fp16" for the CPU to compute a LiteRT bundle in it; by default what the file says.
        checkpoint: where the checkpoint is now; by default where the manifest says it was.
        runtime: one of several that a format has; by default the best that is installed.

    Returns:
        What was found; its `status` is "verified", "failed" or "not verified".

    Raises:
        InputError: the checkpoint is gone, or is another one; or the bundle holds nothing for the unit.
        UnavailableError: the unit cannot be run, or emulated, on this machine.
    """
    from exporters.units import parse_unit, with_arithmetic
    from squeezebert_edge.verbs.verify import verify_bundle

    opened = _open(bundle, allow_failed=True)
    computed_by = parse_unit(with_arithmetic(unit, arithmetic) or "cpu")
    return verify_bundle(opened, source=_text(checkpoint), runtime=runtime, unit=computed_by)


def evaluate(
    bundle: Bundle | str | Path,
    data: str | Path,
    *,
    dataset: str | None = None,
    labels: Sequence[str] | None = None,
    unit: str | None = None,
    arithmetic: str | None = None,
    checkpoint: str | Path | None = None,
    limit: int | None = None,
    threads: int = 1,
    runtime: str | None = None,
) -> AccuracyComparison:
    """Compare a bundle with the float reference on labelled examples.

    Args:
        data: a labelled file of a form that the bundle's task reads.
        dataset: a known data set (sst2, mrpc, squad, ...), for its metrics and the names of its labels.
        labels: the file's names of the model's outputs, in their order.
        unit: what computes the bundle, by default the CPU; here a GPU or an NPU takes seconds a text.
        arithmetic: "fp16" for the CPU to compute a LiteRT bundle in it; by default what the file says.
        checkpoint: where the checkpoint is now; by default where the manifest says it was.
        limit: take so many of the first examples.
        threads: of the bundle's runtime.

    Returns:
        Both sides' metrics, the difference with its 95% interval, and the examples whose answer changed.

    Raises:
        InputError: data that is wrong, or a checkpoint that is gone or another one.
        UnavailableError: the unit cannot be run, or emulated, on this machine.
        GateError: what the unit runs failed its proof.
    """
    from exporters.units import parse_unit, with_arithmetic
    from squeezebert_edge.verbs.evaluate import evaluate_bundles

    computed_by = with_arithmetic(unit, arithmetic) or "cpu"
    (found,) = evaluate_bundles(
        [_open(bundle, unit=computed_by)],
        Path(data),
        dataset=dataset,
        labels=labels,
        source=_text(checkpoint),
        limit=limit,
        threads=threads,
        runtime=runtime,
        unit=parse_unit(computed_by),
    )
    return found


def benchmark(
    bundle: Bundle | str | Path,
    *,
    device: str = "host",
    runner: str | None = None,
    protocol: str = "mlperf",
    data: str | Path | None = None,
    unit: str | None = None,
    arithmetic: str | None = None,
    threads: int | None = None,
    length: int | None = None,
) -> Record:
    """Measure the latency of a bundle on a device.

    Args:
        device: host, ssh:USER@HOST, android or ios, as `squeezebert-edge devices` lists them.
        runner: what calls the runtime there, where there are several.
        protocol: mlperf (1024 queries and 60 s), quick (128 and 10 s), or rapid (64 and 6 s, never quoted).
        data: texts to ask; by default the built-in sample.
        unit: what computes it there: cpu, gpu, ane or npu; by default the CPU, or what Core ML decides.
        arithmetic: "fp16" for the CPU to compute a LiteRT bundle in it; by default what the file says.
        threads: of the runtime; one by default.
        length: run all texts at this length; by default each at the shortest that fits.

    Returns:
        The record; `validity` says whether it kept the protocol's rules.

    Raises:
        InputError: settings that cannot be had.
        UnavailableError: the device is not reachable, or does not run such bundles.
        GateError: the run gave no measurement.
    """
    from exporters.units import parse_unit, with_arithmetic
    from squeezebert_edge.devices import open_device
    from squeezebert_edge.latency.protocol import PROTOCOLS
    from squeezebert_edge.latency.record import Settings
    from squeezebert_edge.verbs.bench import Request, benchmark_bundles

    if protocol not in PROTOCOLS:
        raise InputError(f"there is no protocol '{protocol}'", allowed=", ".join(PROTOCOLS))
    unit = with_arithmetic(unit, arithmetic)
    if unit is not None:
        unit = str(parse_unit(unit, on_phone=True))
    request = Request(
        PROTOCOLS[protocol],
        Settings(threads=threads, unit=unit, length=length),
        data=None if data is None else Path(data),
    )
    (record,) = benchmark_bundles([_open(bundle, unit=unit or "cpu")], open_device(device, runner), request)
    return record


def _open(bundle: Bundle | str | Path, *, unit: str = "cpu", allow_failed: bool = False) -> Bundle:
    if isinstance(bundle, str | Path):
        return open_bundle(bundle, unit=unit, allow_failed=allow_failed)
    return bundle


def _text(source: str | Path | None) -> str | None:
    return None if source is None else str(source)
