"""The arguments and options that several verbs share, each described once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporters.errors import InputError

if TYPE_CHECKING:
    from squeezebert_edge.latency.protocol import Protocol
    from squeezebert_edge.model.config import SqueezeBertConfig
    from squeezebert_edge.plumbing.signing import Key
    from squeezebert_edge.report.baseline import Baseline

# The panels of --help.
CALIBRATION = "Calibration of int8-static"
ACCURACY = "Accuracy on labelled examples"
PROOF = "Proof"
WHERE = "Where bundles run"
PROTOCOL = "How long, and on what texts"
BASELINE = "Against a baseline"

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
BundlesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="BUNDLE...", help="Directories that `squeezebert-edge export` wrote."),
]
TaskOption = Annotated[
    str | None,
    typer.Option("--task", help="The head.", show_default="the one that the checkpoint's config names"),
]
FormatsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="FORMAT",
        help="executorch, coreml or tflite; repeat for several.",
        show_default="all",
    ),
]
PrecisionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--precision",
        metavar="PRECISION",
        help="fp32, fp16, int8 (the best of a format), int8-dynamic, int8-static, int4 "
        "(ExecuTorch, LiteRT), int8-weights, int4-weights (Core ML); repeat for several.",
    ),
]
LengthsOption = Annotated[
    str | None,
    typer.Option(
        "--lengths",
        metavar="N,N,...|every:N",
        help="Sequence lengths in each artifact, ascending; every:8 is each multiple of 8 up to the longest.",
        show_default="32,64,128 as far as they fit",
    ),
]
IosOption = Annotated[
    int,
    typer.Option("--ios", min=17, max=18, help="The oldest iOS a Core ML bundle runs on."),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Where bundles go, as OUT/FORMAT-PRECISION.", show_default="out/CHECKPOINT"),
]
SignOption = Annotated[
    Path | None,
    typer.Option(
        "--sign",
        metavar="KEYFILE",
        envvar="SQUEEZEBERT_EDGE_KEY",
        help="Sign what is made with this key, and refuse what is read and not signed with it.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace outputs that exist.")]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        min=1,
        help="How many bundles are made, or units of one proven, side by side.",
        show_default="the cores, as far as memory allows",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="Real texts that set the scales: a file of the task's form, or .txt, one a line.",
        show_default="the built-in samples",
        rich_help_panel=CALIBRATION,
    ),
]
CalibrationSamplesOption = Annotated[
    int,
    typer.Option("--calibration-samples", min=1, help="How many texts to use.", rich_help_panel=CALIBRATION),
]

DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Labelled examples: a GLUE TSV, SQuAD's JSON, CoNLL columns, SWAG, CODAH, CSV, JSON lines.",
        rich_help_panel=ACCURACY,
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="The data set in --data, for its metrics and labels: sst2, mrpc, qqp, cola, stsb, mnli, qnli, "
        "rte, wnli, squad, conll, swag or codah.",
        show_default="the head's metrics",
        rich_help_panel=ACCURACY,
    ),
]
ScoredOption = Annotated[str | None, typer.Option("--scored", hidden=True)]  # --dataset's earlier name
LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="A,B,...",
        help="The file's names of the model's outputs, in their order.",
        show_default="the checkpoint's",
        rich_help_panel=ACCURACY,
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="word=N,tag=N",
        help="Where the words and tags of a file in CoNLL's columns stand, counted from 0.",
        show_default="the first and the last",
        rich_help_panel=ACCURACY,
    ),
]
NullThresholdOption = Annotated[
    float | None,
    typer.Option(
        "--null-threshold",
        help="How much more no answer must score than the best span, for SQuAD 2.0.",
        show_default="0 where a question has no answer",
        rich_help_panel=ACCURACY,
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Take the first N examples.", rich_help_panel=ACCURACY),
]
MaxDropOption = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        help="Percentage points of the first metric that may be lost; more exits with 1.",
        rich_help_panel=ACCURACY,
    ),
]

MaxErrorOption = Annotated[
    float | None,
    typer.Option(
        "--max-error",
        min=0,
        help="Largest error, relative to max(1, largest reference output).",
        show_default="the precision's",
        rich_help_panel=PROOF,
    ),
]
MinSqnrOption = Annotated[
    float | None,
    typer.Option(
        "--min-sqnr", help="Least SQNR in dB.", show_default="the precision's", rich_help_panel=PROOF
    ),
]
RequireRuntimeOption = Annotated[
    bool,
    typer.Option(
        "--require-runtime",
        help="Exit with 3 unless the format's own runtime computed the proof.",
        rich_help_panel=PROOF,
    ),
]

SourceOption = Annotated[
    str | None,
    typer.Option(
        "--checkpoint", help="Where the checkpoint is now.", show_default="where the bundle found it"
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        help="Where: `squeezebert-edge devices` lists what is reachable. For bench, android:all is every "
        "phone.",
        rich_help_panel=WHERE,
    ),
]
RunnerOption = Annotated[
    str | None,
    typer.Option(
        "--runner",
        help="What calls the runtime there: on Android, native or app (the demo app).",
        show_default="the device's first",
        rich_help_panel=WHERE,
    ),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        help="Which runtime runs a .tflite: ai-edge-litert or tflite-runtime.",
        show_default="best",
        rich_help_panel=WHERE,
    ),
]
UnitsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--unit",
        metavar="UNIT",
        help="Also make and prove it for a compute unit of a phone: gpu, npu:CHIP (such as npu:SM8650), "
        "npu:all, or cpu-fp16, the CPU in float16; repeat for several. The CPU is always one.",
        show_default="cpu",
    ),
]
UnitOption = Annotated[
    str | None,
    typer.Option(
        "--unit",
        metavar="UNIT",
        help="What computes it: cpu, cpu-fp16, gpu or npu:CHIP (such as npu:SM8650, in its vendor's "
        "emulator).",
        show_default="cpu",
        rich_help_panel=WHERE,
    ),
]
DeviceUnitOption = Annotated[
    str | None,
    typer.Option(
        "--unit",
        metavar="UNIT",
        help="What computes it there: cpu or, of tflite, cpu-fp16; with the Android app also gpu and npu, "
        "the phone's own; of Core ML cpu, gpu or ane, the Neural Engine.",
        show_default="cpu; Core ML decides",
        rich_help_panel=WHERE,
    ),
]
ArithmeticOption = Annotated[
    str | None,
    typer.Option(
        "--arithmetic",
        metavar="fp16",
        help="What the CPU computes a tflite bundle in: fp16, or what its file says. The same as --unit "
        "cpu-fp16.",
        show_default="the file's",
        rich_help_panel=WHERE,
    ),
]
MOST_THREADS = 64  # far beyond any phone's; ExecuTorch's pool crashes on absurd numbers
ThreadsOption = Annotated[
    int,
    typer.Option("--threads", min=1, max=MOST_THREADS, help="Threads of the runtime.", rich_help_panel=WHERE),
]
RuntimeThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=MOST_THREADS,
        help="Threads of the runtime.",
        show_default="1",
        rich_help_panel=WHERE,
    ),
]

QuickOption = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="128 queries and 10 s in place of MLPerf's 1024 and 60 s.",
        rich_help_panel=PROTOCOL,
    ),
]
RapidOption = Annotated[
    bool,
    typer.Option(
        "--rapid", help="64 queries and 6 s; no report quotes the latency.", rich_help_panel=PROTOCOL
    ),
]
QueriesOption = Annotated[
    int | None,
    typer.Option(
        "--queries",
        min=1,
        help="Exactly so many queries, however long they take; no report quotes it either.",
        rich_help_panel=PROTOCOL,
    ),
]
TextsOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Texts to ask, as `evaluate` takes them.",
        show_default="the built-in sample",
        rich_help_panel=PROTOCOL,
    ),
]

BaselineOption = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        metavar="FILE",
        help="An earlier report.json, a record, or a directory of records: shows what changed since.",
        rich_help_panel=BASELINE,
    ),
]
MaxSlowdownOption = Annotated[
    float | None,
    typer.Option(
        "--max-slowdown",
        metavar="PERCENT",
        min=0,
        help="How much slower than the baseline a median latency may be; more exits with 1.",
        rich_help_panel=BASELINE,
    ),
]
MaxDropSinceOption = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        metavar="POINTS",
        help="Percentage points of the first metric that may be lost since the baseline; more exits with 1.",
        rich_help_panel=BASELINE,
    ),
]


def choose_protocol(queries: int | None, *, quick: bool, rapid: bool) -> Protocol:
    """The protocol of --queries, --quick or --rapid; without any of them MLPerf's.

    Raises:
        InputError: several of them.
    """
    from squeezebert_edge.latency.protocol import MLPERF, QUICK, RAPID, exactly

    if (queries is not None) + quick + rapid > 1:
        raise InputError(
            "several of --quick, --rapid and --queries are given", allowed="one of them, or none"
        )
    if queries is not None:
        return exactly(queries)
    return QUICK if quick else RAPID if rapid else MLPERF


def read_baseline(
    path: Path | None, *, max_slowdown: float | None = None, max_drop: float | None = None
) -> Baseline | None:
    """The baseline of --baseline with its limits, if one was named.

    Raises:
        InputError: limits without a baseline, or a baseline that cannot be read.
    """
    from squeezebert_edge.report import baseline

    limits = baseline.Limits(max_slowdown, max_drop)
    if path is not None:
        return baseline.read_baseline(path, limits)
    if limits != baseline.Limits():
        option = "--max-drop" if max_slowdown is None else "--max-slowdown"
        raise InputError(f"{option} was given without --baseline", allowed="both together")
    return None


def parse_labels(text: str | None) -> list[str] | None:
    """The names of `--labels`."""
    from squeezebert_edge.tasks.labels import split_names

    return None if text is None else split_names(text)


def parse_columns(text: str | None) -> dict[str, int] | None:
    """The places of `--columns`.

    Raises:
        InputError: it does not say where the word and the tag stand.
    """
    if text is None:
        return None
    places = dict(re.findall(r"(word|tag)=([0-9]+)", text))
    if {*places} != {"word", "tag"} or sorted(text.split(",")) != sorted(
        f"{name}={place}" for name, place in places.items()
    ):
        raise InputError(
            f"--columns {text} does not say where words and tags stand", allowed="such as word=1,tag=2"
        )
    return {name: int(place) for name, place in places.items()}


def parse_lengths(text: str | None, config: SqueezeBertConfig) -> tuple[int, ...]:
    """The lengths to export of a checkpoint.

    Raises:
        InputError: they are not as LengthsOption says, or the checkpoint has no positions for one.
    """
    from squeezebert_edge.verbs.plan import check_lengths, every_length

    if text and text.startswith(EVERY):
        steps = parse_numbers("--lengths every:", text.removeprefix(EVERY)) or []
        if len(steps) != 1:
            raise InputError(f"--lengths {text} has several steps", allowed=f"one, such as {EVERY}8")
        return every_length(steps[0], config)
    return check_lengths(parse_numbers("--lengths", text), config)


EVERY = "every:"


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
            f"{option} {text} has something that is not a whole number",
            allowed="numbers separated by commas, such as 32,64,128",
        ) from None


def read_key(sign: Path | None) -> Key | None:
    """The key of --sign.

    Raises:
        InputError: the file cannot be read, or holds no key.
    """
    from squeezebert_edge.plumbing.signing import Key

    return None if sign is None else Key.read(sign)
