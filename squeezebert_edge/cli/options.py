"""The arguments and options that several verbs share, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporters.errors import InputError

if TYPE_CHECKING:
    from squeezebert_edge.latency.protocol import Protocol

CheckpointArgument = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT",
        help="A directory in Hugging Face's layout, a hub id (owner/name), or `default`, the embedded model.",
    ),
]
BundleArgument = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="A directory that `squeezebert-edge export` wrote.")
]
FormatsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--to", metavar="FORMAT", help="executorch, coreml or tflite; repeat for several.", show_default="all"
    ),
]
PrecisionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--precision",
        metavar="PRECISION",
        help="fp32, fp16 (Core ML, LiteRT), int8 (the best of a format), int8-dynamic, int8-static, int4 "
        "(ExecuTorch, LiteRT), int8-weights, int4-weights (Core ML); repeat for several.",
    ),
]
LengthsOption = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,...",
        help="Sequence lengths in each artifact, ascending.",
        show_default="32,64,128 as far as they fit",
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option("--task", help="The head, if not the one that the checkpoint's config names."),
]
IosOption = Annotated[
    int, typer.Option("--ios", min=17, max=18, help="The oldest iOS a Core ML bundle runs on.")
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Where bundles go, as OUT/FORMAT-PRECISION.", show_default="out/CHECKPOINT"),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace bundles that exist.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
RequireRuntimeOption = Annotated[
    bool,
    typer.Option("--require-runtime", help="Exit with 3 unless the format's own runtime computed the proof."),
]
MaxErrorOption = Annotated[
    float | None,
    typer.Option("--max-error", min=0, help="Largest error, relative to max(1, largest reference output)."),
]
MinSqnrOption = Annotated[float | None, typer.Option("--min-sqnr", help="Least SQNR in dB.")]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        help="Which runtime runs a .tflite: ai-edge-litert or tflite-runtime.",
        show_default="best",
    ),
]
MOST_THREADS = 64  # far beyond any phone's; ExecuTorch's pool crashes on absurd numbers
ThreadsOption = Annotated[
    int, typer.Option("--threads", min=1, max=MOST_THREADS, help="Threads of the runtime.")
]
RuntimeThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, max=MOST_THREADS, help="Threads.", show_default="1"),
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="128 queries and 10 s in place of MLPerf's 1024 and 60 s.")
]
RapidOption = Annotated[
    bool, typer.Option("--rapid", help="64 queries and 6 s; no report quotes such a latency.")
]
QueriesOption = Annotated[
    int | None,
    typer.Option("--queries", min=1, help="So many, however long they take; never quoted either."),
]
TextsOption = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Texts to ask, as `evaluate` takes them.", show_default="the built-in sample"
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        help="Where: `squeezebert-edge devices` lists what is reachable. For bench, android:all is every "
        "phone.",
    ),
]
RunnerOption = Annotated[
    str | None,
    typer.Option(
        "--runner",
        help="What calls the runtime there: on Android native, or app, the demo app.",
        show_default="the device's first",
    ),
]
SourceOption = Annotated[
    str | None,
    typer.Option(
        "--checkpoint", help="Where the checkpoint is now.", show_default="where the bundle found it"
    ),
]
ScoredAsOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="A data set by name, for its metrics and labels: sst2, mrpc, qqp, cola, stsb, mnli, qnli, rte, "
        "wnli, squad, conll, swag or codah; or a head.",
        show_default="the checkpoint's head",
    ),
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="A,B,...",
        help="The file's names of the model's outputs, in their order.",
        show_default="the checkpoint's",
    ),
]
ScoredOption = Annotated[
    str | None,
    typer.Option(
        "--scored",
        help="A data set by name, for its metrics and labels, as `evaluate --task` takes it.",
        show_default="the head's metrics",
    ),
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Take the first N examples.")]
FormOption = Annotated[
    str | None,
    typer.Option(
        "--form",
        help="How the network is laid out: plain, conv2d, group-resident, group-batched, neural-engine or "
        "neural-engine-groups.",
        show_default="the one that suits the format and precision",
    ),
]
FormsFileOption = Annotated[
    Path | None,
    typer.Option("--forms", metavar="FILE", help="Forms that a device chose, as `tune` writes them."),
]
AllowUndelegatedOption = Annotated[
    bool,
    typer.Option(
        "--allow-undelegated",
        help="Export even if the delegate leaves a convolution, linear layer or matrix product outside.",
    ),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="Real texts that set the scales of int8-static: a file of the task's form, or .txt, one a line.",
        show_default="the built-in samples",
    ),
]
CALIBRATION_SAMPLES = 200
CalibrationSamplesOption = Annotated[
    int, typer.Option("--calibration-samples", min=1, help="How many of them.")
]
GateDataOption = Annotated[
    Path | None, typer.Option("--data", help="Labelled examples that --max-drop is measured on.")
]
MaxDropOption = Annotated[
    float | None,
    typer.Option("--max-drop", help="Percentage points of the first metric that may be lost; else exit 1."),
]


def protocol_of(queries: int | None, *, quick: bool, rapid: bool) -> Protocol:
    """The protocol of --queries, --quick or --rapid; without any of them MLPerf's.

    Raises:
        InputError: several of them.
    """
    from squeezebert_edge.latency.protocol import MLPERF, QUICK, RAPID, exactly

    if (queries is not None) + quick + rapid > 1:
        raise InputError("several of --quick, --rapid and --queries", allowed="one of them, or none")
    if queries is not None:
        return exactly(queries)
    return QUICK if quick else RAPID if rapid else MLPERF


def parse_labels(text: str | None) -> list[str] | None:
    """The names of `--labels`."""
    return None if text is None else text.split(",")


def parse_lengths(text: str | None) -> list[int] | None:
    """The numbers of `--lengths`, as `parse_numbers` reads them."""
    return parse_numbers("--lengths", text)


def parse_numbers(option: str, text: str | None) -> list[int] | None:
    """The numbers of an option that takes several.

    Raises:
        InputError: something in it is not a number.
    """
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"{option} {text}", allowed="numbers separated by commas, such as 32,64,128"
        ) from None
