"""`squeezebert-edge predict`: ask a bundle."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exporters.errors import InputError
from squeezebert_edge.cli import options, show

if TYPE_CHECKING:
    from squeezebert_edge.tasks.data import Example


def predict(
    bundle: options.BundleArgument,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="A text, or - for lines on stdin.")
    ] = None,
    pair: Annotated[str | None, typer.Option("--pair", help="The second text of a pair.")] = None,
    question: Annotated[str | None, typer.Option("--question", help="A question about --context.")] = None,
    context: Annotated[str | None, typer.Option("--context", help="The text that holds the answer.")] = None,
    choice: Annotated[
        list[str] | None, typer.Option("--choice", help="An ending of TEXT; repeat for each.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="One text a line, then its pair, its context or its choices, each after a tab."
        ),
    ] = None,
    doc_stride: Annotated[
        int | None, typer.Option("--doc-stride", min=0, help="Tokens that windows over a long context share.")
    ] = None,
    threads: options.ThreadsOption = 1,
    runtime: options.RuntimeOption = None,
    json: options.JsonOption = False,
) -> None:
    """Answer texts with a bundle: one TEXT, a --file, or lines on stdin. --json prints an object a line."""
    from squeezebert_edge.bundle.opened import open_bundle
    from squeezebert_edge.tasks.data import read_lines
    from squeezebert_edge.tasks.heads import DEFAULT_DOC_STRIDE
    from squeezebert_edge.verbs.predict import answer_examples, read_examples

    opened = open_bundle(bundle)
    task = opened.task
    _refuse_foreign(
        task.name,
        {
            "--pair": pair,
            "--question": question,
            "--context": context,
            "--choice": choice,
            "--doc-stride": doc_stride,
        },
    )
    texts = [given for given in (text, question, pair, context, *(choice or [])) if given is not None]
    from_lines = texts in ([], ["-"])
    if file is not None and not from_lines:
        raise InputError("--file and texts on the command line are both given", allowed="one of them")
    examples: Iterable[Example]
    if file is not None:
        examples = read_examples(task, read_lines(file), str(file))
    elif from_lines:
        examples = read_examples(task, _read_stdin(), "stdin")
    else:
        examples = [task.ask(texts)]
    stride = DEFAULT_DOC_STRIDE if doc_stride is None else doc_stride
    for answer in answer_examples(opened, examples, threads=threads, runtime=runtime, doc_stride=stride):
        if json:
            show.as_json(answer)
        else:
            _print(answer)


# The options that only some tasks have.
OPTIONS_OF = {
    "--pair": ("text-classification", "token-classification", "feature-extraction", "fill-mask"),
    "--question": ("question-answering",),
    "--context": ("question-answering",),
    "--choice": ("multiple-choice",),
    "--doc-stride": ("question-answering",),
}


def _refuse_foreign(task: str, given: Mapping[str, object]) -> None:
    """Raise InputError for an option that the bundle's task does not have."""
    for option, value in given.items():
        if value is not None and task not in OPTIONS_OF[option]:
            raise InputError(
                f"a {task} bundle takes no {option}",
                allowed=f"{option} with {', '.join(OPTIONS_OF[option])}",
            )


def _read_stdin() -> Iterator[str]:
    """The lines of stdin as they come."""
    if sys.stdin.isatty():
        raise InputError("there is nothing to answer", allowed="a TEXT, --file FILE, or lines on stdin")
    for number, content in enumerate(sys.stdin.buffer, start=1):
        try:
            yield content.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise InputError(f"stdin:{number} is not UTF-8", hint="convert it to UTF-8") from None


def _print(answer: dict[str, Any]) -> None:
    """An answer for people: its short fields, then its lists as tables."""
    long = {name: value for name, value in answer.items() if isinstance(value, (list, dict))}
    show.pairs("", {name: _brief(value) for name, value in answer.items() if name not in long})
    for name, value in long.items():
        if isinstance(value, dict):
            show.table(name, ("", ">"), [(key, _brief(number)) for key, number in value.items()])
        elif value and isinstance(value[0], dict):
            show.table(name, tuple(value[0]), [tuple(map(_brief, entry.values())) for entry in value])
        else:
            show.out.print(f"{name}: {_brief(value)}", markup=False)


def _brief(value: Any) -> str:
    """A value short enough for a cell."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return ", ".join(" ".join(map(_brief, entry.values())) for entry in value)
    if isinstance(value, list) and len(value) > 8:
        return f"{len(value)} values, see --json"
    return str(value)
