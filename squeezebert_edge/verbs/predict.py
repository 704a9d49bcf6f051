"""A bundle's answers to texts, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exporters.errors import InputError
from squeezebert_edge.bundle.opened import Answer, Bundle
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import DEFAULT_DOC_STRIDE, Task


def answer_examples(
    bundle: Bundle,
    examples: Iterable[Example],
    *,
    threads: int = 1,
    runtime: str | None = None,
    doc_stride: int = DEFAULT_DOC_STRIDE,
) -> Iterator[Answer]:
    """Answer examples as they come; the artifact is loaded once.

    Args:
        threads, runtime: as for `Bundle.load_runner`.
        doc_stride: tokens that the windows over a long context share.
    """
    runner = bundle.load_runner(threads=threads, runtime=runtime)
    for example in examples:
        yield bundle.answer(example, runner=runner, doc_stride=doc_stride)


def read_examples(task: Task, lines: Iterable[str], name: str) -> Iterator[Example]:
    """The example on each line: a text, and after a tab its pair, its context, or each of its choices.

    Args:
        name: of the file; errors say `name:3` of the third line.

    Raises:
        InputError: a line has texts that the task does not take.
    """
    for number, line in enumerate(lines, start=1):
        try:
            yield task.ask(line.split("\t"))
        except InputError as error:
            raise InputError(
                f"{name}:{number}: {error.problem}", allowed=error.allowed, hint=error.hint
            ) from None
