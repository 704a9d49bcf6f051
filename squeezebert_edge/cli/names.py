"""The head, the data set and the unit that a call names, by today's options or those of earlier releases."""

from __future__ import annotations

from typing import NamedTuple

from exporters.errors import InputError
from exporters.units import parse_unit, with_arithmetic
from squeezebert_edge.cli import show


class Names(NamedTuple):
    """What a call names.

    head: the one of `--task`, or else the one that the data set is for; None leaves it to the checkpoint.
    scored: the data set, or else the head of `--task`: what the examples are scored as.
    """

    head: str | None
    scored: str | None


def read_names(
    task: str | None,
    dataset: str | None = None,
    *,
    scored: str | None = None,
    task_may_be_dataset: bool = False,
) -> Names:
    """Read `--task` and `--dataset`, and say how an earlier spelling is written today.

    Args:
        scored: of `--scored`, which `export` and `sensitivity` had before `--dataset`; it took heads too.
        task_may_be_dataset: `--task` may name a data set too, as it used to in `run` and `evaluate`.

    Raises:
        InputError: a name is unknown, a data set is named twice, or it is not for the head.
    """
    from squeezebert_edge.accuracy.datasets import DATASETS
    from squeezebert_edge.tasks.heads import TASKS

    if task_may_be_dataset and task is not None and task in DATASETS:
        dataset = _translate("--task", task, dataset)
        task = None
    if scored is not None and scored in TASKS:
        _translate("--scored", scored, dataset, kind="head", today="--task")
        return Names(task or scored, scored)
    if scored is not None:
        dataset = _translate("--scored", scored, dataset)
    if task is not None and task not in TASKS:
        hint = f"--dataset {task} names a data set" if task in DATASETS else None
        raise InputError(f"there is no head named '{task}'", allowed=", ".join(TASKS), hint=hint)
    if dataset is None:
        return Names(task, task)
    if dataset not in DATASETS:
        hint = f"--task {dataset} names a head" if dataset in TASKS else None
        raise InputError(f"there is no data set named '{dataset}'", allowed=", ".join(DATASETS), hint=hint)
    head = DATASETS[dataset].task
    if task not in (None, head):
        fit = ", ".join(name for name, known in DATASETS.items() if known.task == task)
        raise InputError(
            f"the data set {dataset} is for {head}, and --task names {task}",
            allowed=f"--task {head}" + (f", or one of {fit}" if fit else ""),
        )
    return Names(head, dataset)


def _translate(
    option: str, name: str, dataset: str | None, kind: str = "data set", today: str = "--dataset"
) -> str:
    """The name that an earlier spelling gives, after a note of today's."""
    if dataset is not None:
        raise InputError(f"{option} {name} and --dataset {dataset} are both given", allowed="--dataset alone")
    show.note(f"note: {option} {name} names a {kind}; write {today} {name}")
    return name


def read_unit(
    unit: str | None,
    arithmetic: str | None = None,
    *,
    delegate: str | None = None,
    compute_units: str | None = None,
) -> str | None:
    """Read the compute unit of a measurement, and say how an earlier spelling is written today.

    Args:
        unit: of `--unit`. arithmetic: of `--arithmetic`.
        delegate, compute_units: of `--delegate` and Core ML's `--compute-units`, which `bench` had before.

    Returns:
        It, as record.Settings has it.

    Raises:
        InputError: there is no such unit, or it is named twice.
    """
    from squeezebert_edge.latency.record import EARLIER_UNITS

    spelled = {"--unit": unit, "--delegate": delegate, "--compute-units": compute_units}
    given = [f"{option} {value}" for option, value in spelled.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} are given", allowed="--unit alone")
    if unit is not None or not given:
        asked = with_arithmetic(unit, arithmetic)
        return asked and str(parse_unit(asked, on_phone=True))
    known = ("cpu", "gpu") if delegate is not None else ("cpu_only", "cpu_and_gpu", "cpu_and_ne", "all")
    asked = delegate or compute_units or ""
    if asked not in known:
        raise InputError(f"{given[0]} names no compute unit", allowed="--unit with cpu, gpu, ane or npu")
    meant = with_arithmetic(EARLIER_UNITS[asked], arithmetic)
    show.note(
        f"note: {given[0]} names a compute unit; " + (f"write --unit {meant}" if meant else "leave it out")
    )
    return meant
