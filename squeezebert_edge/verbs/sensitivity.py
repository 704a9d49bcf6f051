"""Which parts of a checkpoint's network quantization harms, on labelled examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from squeezebert_edge.accuracy.answers import reference_answers
from squeezebert_edge.accuracy.sensitivity import Sensitivity
from squeezebert_edge.checkpoint.checkpoint import Checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.forms import choices
from squeezebert_edge.plumbing.progress import Progress, silent
from squeezebert_edge.report.rows import Ranking
from squeezebert_edge.verbs import CALIBRATION_SAMPLES
from squeezebert_edge.verbs.plan import Plan, add_calibration, check_lengths, possible_pairs


def rank_parts(
    checkpoint: Checkpoint,
    data: Path,
    format_: str,
    precision: str,
    *,
    length: int | None = None,
    calibration: Path | None = None,
    calibration_samples: int = CALIBRATION_SAMPLES,
    dataset: str | None = None,
    labels: Sequence[str] | None = None,
    columns: Mapping[str, int] | None = None,
    limit: int | None = None,
    progress: Progress = silent,
) -> Ranking:
    """Rank the parts of a network by what their quantization alone costs, the costliest first.

    Args:
        data: labelled examples of a form that the task reads.
        format_, precision: a format and one of its quantized precisions, or int8.
        length: tokens that longer texts are cut to; None is the longest that is exported without a wish.
        calibration: real texts for int8-static, of which `calibration_samples` are taken; None takes the
            built-in ones.
        columns: where the words and tags of a file without a header stand, as `read_tagged` takes it.
        dataset, labels: as `resolve_dataset` takes them. limit: how many of the first examples to take.

    Raises:
        InputError: a precision that the format does not have or that quantizes nothing, a length that the
            network has no positions for, or data that is wrong.
    """
    ((format_, precision),) = possible_pairs([format_], [precision])
    length = check_lengths(None if length is None else [length], checkpoint.config)[-1]
    plan = add_calibration(
        Plan([(format_, precision)], [length]), checkpoint, calibration, calibration_samples
    )
    reference = reference_answers(
        checkpoint,
        task_of(checkpoint).read_file(data, columns),
        dataset=dataset,
        labels=labels,
        limit=limit,
        max_length=length,
    )
    exact = choices.exact_precision(format_, precision).name
    costs = Sensitivity(checkpoint, reference, format_, exact, plan.calibration).rank(progress)
    return Ranking(
        checkpoint.source,
        format_,
        exact,
        reference.data.metrics[0].name,
        len(reference.data.examples),
        tuple(costs),
    )
