"""A fine-tuned BERT made into a SqueezeBERT that answers as it does: taken over, then taught."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from exporters.errors import InputError
from squeezebert_edge.accuracy.answers import compare, reference_answers
from squeezebert_edge.accuracy.packages import require_packages
from squeezebert_edge.accuracy.paired import AccuracyComparison
from squeezebert_edge.checkpoint.bert import load_bert
from squeezebert_edge.checkpoint.checkpoint import Checkpoint, load_checkpoint
from squeezebert_edge.checkpoint.hub import CONFIG_FILE
from squeezebert_edge.latency.protocol import exactly, measure, statistics, warm_up
from squeezebert_edge.model import complexity
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel
from squeezebert_edge.model.heads import SqueezeBertForSequenceClassification
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix
from squeezebert_edge.plumbing.staging import refuse_existing
from squeezebert_edge.tasks.data import Example, read_lines
from squeezebert_edge.text.tokenizer import Tokenizer
from squeezebert_edge.text.vocabulary import choose_words
from squeezebert_edge.training import data as training_data
from squeezebert_edge.training.config import TrainingConfig
from squeezebert_edge.training.data import Batch
from squeezebert_edge.training.processes import rank
from squeezebert_edge.training.state import state_path
from squeezebert_edge.training.takeover import keep_words, order_channels, take_over
from squeezebert_edge.training.teacher import Teacher
from squeezebert_edge.training.train import TrainingResult, train
from squeezebert_edge.verbs.train import read_labelled

LONGEST_COUNTED = 512  # tokens of a text whose words are counted
FITTED_TEXTS, FITTED_AT_ONCE = 1536, 32  # that the first weights are fitted on, and of a batch
TIMED = exactly(32)


@dataclass(frozen=True)
class StudentShape:
    """What the student has otherwise than its teacher; the rest is the teacher's own.

    groups: of every convolution but post_attention's.
    layers: None is as many as the teacher has. vocabulary: words; None is the teacher's whole one.
    """

    groups: int = 4
    layers: int | None = None
    vocabulary: int | None = None

    def check(self, teacher: Checkpoint) -> None:
        """Raise InputError if a teacher of these sizes has no such student."""
        config = teacher.config
        sizes = config.hidden_size, config.num_attention_heads, config.intermediate_size
        if self.groups < 1 or any(size % self.groups for size in sizes):
            fitting = [
                number for number in range(1, sizes[1] + 1) if not any(size % number for size in sizes)
            ]
            raise InputError(
                f"{self.groups} groups do not divide the teacher's width {sizes[0]}, its {sizes[1]} heads "
                f"and its inner width {sizes[2]}",
                allowed=f"--groups {' or '.join(map(str, fitting))}",
            )
        if self.layers is not None and not 1 <= self.layers <= config.num_hidden_layers:
            raise InputError(
                f"the student is to have {self.layers} layers",
                allowed=f"1 to the teacher's {config.num_hidden_layers}",
            )


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    gflop: of one text of the result's length. latency_ms: the median of it, in torch on this computer.
    """

    layers: int
    words: int
    parameters: int
    gflop: float
    latency_ms: float


@dataclass(frozen=True)
class ConversionResult:
    """What was made, and how it compares with what it was made from.

    accuracy: the teacher is the reference in it, the student the artifact.
    length: tokens of the text that the costs are of. threads: torch's, in the latencies.
    """

    directory: Path
    accuracy: AccuracyComparison
    teacher: Cost
    student: Cost
    length: int
    threads: int
    training: TrainingResult

    def to_json(self) -> dict[str, object]:
        """Every number by its name, for JSON."""
        return {
            "directory": str(self.directory),
            "teacher": asdict(self.teacher),
            "student": asdict(self.student),
            "length": self.length,
            "threads": self.threads,
            "accuracy": self.accuracy.summary(),
            "training": asdict(self.training) | {"directory": str(self.training.directory)},
        }


def convert_bert(
    source: str | Path,
    data: Path,
    out: Path,
    config: TrainingConfig,
    shape: StudentShape,
    *,
    validation: Path | None = None,
    labels: Sequence[str] | None = None,
    text: Path | None = None,
    dtype: torch.dtype = torch.float32,
    force: bool = False,
    progress: Progress = silent,
    log: Callable[[str], None] = lambda line: None,
) -> ConversionResult | None:
    """Make a SqueezeBERT of a BERT that classifies, and write it as a checkpoint.

    What was learned is kept beside `out` until that is there, so that the same call continues after an
    interruption. Under torchrun every process makes this same call.

    Args:
        source: the BERT: a directory, or a hub id.
        data: labelled texts. validation: likewise; None holds out a share of `data`.
        labels: the file's names of the teacher's classes, in their order, which the student takes; by default
            the teacher's own.
        text: further texts without labels, one a line.
        dtype: of the stored weights.
        force: replace a checkpoint that is at `out`, and forget an unfinished training.
        log: called with loss, learning rate and speed from time to time, and with each epoch's accuracy.

    Returns:
        None in every process but the first.

    Raises:
        InputError: another architecture or head, labels that are not the teacher's, a shape that does not fit
            it, or data, settings or an output that cannot be used.
        GateError: the loss or the gradients are not finite.
        UnavailableError: there is no such device, or a package to measure accuracy is not installed.
    """
    continues = state_path(out).exists() and not force
    if rank() == 0:
        # The state outlives the student until all is measured, so a student beside its state is no other's.
        refuse_existing(out, marker=CONFIG_FILE, force=force or continues)
        require_packages()
    teacher = _load_teacher(source, labels, shape)
    if rank() == 0:
        for remark in teacher.accepted:
            log(f"{source}: {remark}")
        progress(f"reading {data}", 0, 0)
    names = [teacher.config.id2label[index] for index in range(teacher.config.num_labels)]
    examples = read_labelled(data, names, log)
    _check_labels(examples, names, f"data in {data}")
    if validation is None:
        examples, validated = training_data.hold_out(examples, config.hold_out, config.seed)
    else:
        validated = read_labelled(validation, names, log)
        _check_labels(validated, names, f"data in {validation}")
    unlabelled = [] if text is None else [Example(line) for line in read_lines(text) if line.strip()]
    texts = [*examples, *unlabelled]
    if rank() == 0:
        progress("taking over the teacher's weights", 0, 0)
    network, tokenizer = _cut_vocabulary(teacher, shape.vocabulary, texts)
    network = order_channels(network, shape.groups)
    fitted = [] if continues else list(_batches(texts, tokenizer, config))
    student = take_over(network, shape.groups, shape.layers, fitted)
    origin = json.dumps([teacher.sha256, asdict(shape)])
    trained = train(
        config,
        student,
        tokenizer,
        examples,
        validated,
        out,
        teacher=Teacher.of(network, tokenizer, teacher.sha256),
        unlabelled=unlabelled,
        origin=origin,
        dtype=dtype,
        resume=False if force else None,
        force=force,
        keep_state=True,
        progress=progress,
        log=log,
    )
    if rank() != 0:
        return None
    measured = _measure(teacher, trained, validated, config.max_length, progress)
    state_path(out).unlink()
    return measured


def _load_teacher(source: str | Path, labels: Sequence[str] | None, shape: StudentShape) -> Checkpoint:
    """The BERT, its classes by the names that the student is to have."""
    teacher = load_bert(source)
    config = teacher.config
    if not isinstance(teacher.model, SqueezeBertForSequenceClassification) or config.problem_type not in (
        None,
        "single_label_classification",
    ):
        raise InputError(
            f"{source} is a {type(teacher.model).__name__.removeprefix('Squeeze')} for "
            f"{config.problem_type or 'another task'}",
            allowed="a BERT that chooses one class of several for each text",
        )
    shape.check(teacher)
    if labels is not None:
        if len(labels) != config.num_labels:
            raise InputError(
                f"--labels has {len(labels)} names, the teacher {config.num_labels} classes",
                allowed=f"a name for each of {', '.join(config.id2label.values())}, in their order",
            )
        config = replace(config, id2label=dict(enumerate(labels)), label2id={})
        config.validate()
        teacher.model.config = config
    return replace(teacher, config=config)


def _check_labels(examples: Sequence[Example], names: Sequence[str], what: str) -> None:
    hint = (
        f"--labels A,B,... gives the file's names of the teacher's classes {', '.join(names)}, in their order"
    )
    training_data.read_classes(examples, names, what, hint)


def _cut_vocabulary(
    teacher: Checkpoint, size: int | None, examples: Sequence[Example]
) -> tuple[SqueezeBertPreTrainedModel, Tokenizer]:
    """The teacher's network and tokenizer with the words that the texts use most, or all of its words."""
    tokenizer = teacher.tokenizer
    if size is None:
        return teacher.model, tokenizer
    uses: Counter[int] = Counter()
    for example in examples:
        uses.update(tokenizer.encode(example.text, example.pair, max_length=LONGEST_COUNTED).ids)
    rows = choose_words(tokenizer.vocab, tokenizer.flags, uses, size)
    return keep_words(teacher.model, rows), Tokenizer([tokenizer.vocab[row] for row in rows], tokenizer.flags)


def _batches(examples: Sequence[Example], tokenizer: Tokenizer, config: TrainingConfig) -> Iterator[Batch]:
    """Some of the texts, for the first weights to be fitted on."""
    chosen = random.Random(config.seed).sample(list(examples), min(FITTED_TEXTS, len(examples)))
    encoded = training_data.encode(chosen, tokenizer, None, config.max_length, "data")
    encoded.sort(key=lambda example: len(example.ids))
    pad, device = tokenizer.special_ids["pad"], torch.device("cpu")
    for at in range(0, len(encoded), FITTED_AT_ONCE):
        batch = encoded[at : at + FITTED_AT_ONCE]
        yield training_data.collate(batch, len(batch[-1].ids), pad, device)


def _measure(
    teacher: Checkpoint, trained: TrainingResult, examples: Sequence[Example], length: int, progress: Progress
) -> ConversionResult:
    """Compare the student, as it was written, with its teacher."""
    student = load_checkpoint(trained.directory)
    before, after = (
        reference_answers(checkpoint, examples, max_length=length) for checkpoint in (teacher, student)
    )
    accuracy = compare(before, after, progress=with_prefix("measuring", progress))
    progress("timing", 0, 0)
    return ConversionResult(
        trained.directory,
        accuracy,
        _cost(teacher, length),
        _cost(student, length),
        length,
        torch.get_num_threads(),
        trained,
    )


def _cost(checkpoint: Checkpoint, length: int) -> Cost:
    config = checkpoint.config
    total = complexity.total(complexity.count(config, length, type(checkpoint.model).__name__))
    ids = torch.full((1, length), checkpoint.tokenizer.special_ids["unk"])

    def run(row: int) -> None:
        with torch.inference_mode():
            checkpoint.model(ids, torch.ones_like(ids), torch.zeros_like(ids), return_dict=True)

    warm_up(run, [length], TIMED)
    median = statistics(measure(run, [length], TIMED).latency_ns).p50_ns
    return Cost(
        config.num_hidden_layers, len(checkpoint.tokenizer.vocab), total.parameters, total.gflop, median / 1e6
    )
