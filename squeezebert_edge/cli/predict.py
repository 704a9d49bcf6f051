"""`squeezebert-edge predict`: ask a bundle."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exporters.errors import InputError
from squeezebert_edge.cli import options, show

if TYPE_CHECKING:
    from squeezebert_edge.tasks.data import Example
    from squeezebert_edge.tasks.heads import Task


def predict(
    bundle: options.BundleArgument,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="A text, or - for lines on stdin.")
    ] = None,
    pair: Annotated[str | None, typer.Option("--pair", help="The second text of a pair.")] = None,
    question: Annotated[str | None, typer.Option("--question", help="A question about --context.")] = None,
    context: Annotated[str | None, typer.Option("--context", help="Where the answer stands.")] = None,
    choice: Annotated[
        list[str] | None, typer.Option("--choice", help="An ending of TEXT; repeat for each.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A text a line; a tab before its pair, context, or each of its choices."),
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
    from squeezebert_edge.tasks.heads import DEFAULT_DOC_STRIDE

    opened = open_bundle(bundle)
    task = opened.task
    _refuse_foreign(
        task.name, {"--pair": pair, "--question": question, "--context": context, "--choice": choice}
    )
    texts = [given for given in (text, question, pair, context, *(choice or [])) if given is not None]
    if doc_stride is not None and not task.windows:
        raise InputError(f"--doc-stride for {task.name}", allowed="question-answering")
    from_lines = file is not None or texts in ([], ["-"])
    if from_lines and texts not in ([], ["-"]):
        raise InputError("--file and texts on the command line", allowed="one of them")
    asked: Iterator[Example]
    if from_lines:
        asked = (_asked(task, where, line) for where, line in _lines(file))
    else:
        asked = iter([task.ask(texts)])
    runner = opened.load_runner(threads=threads, runtime=runtime)
    stride = DEFAULT_DOC_STRIDE if doc_stride is None else doc_stride
    for example in asked:
        answer = opened.answer(example, runner=runner, doc_stride=stride)
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
}


def _refuse_foreign(task: str, given: Mapping[str, object]) -> None:
    """Raise InputError for an option that the bundle's task does not have."""
    for option, value in given.items():
        if value is not None and task not in OPTIONS_OF[option]:
            raise InputError(
                f"{option} with a bundle for {task}", allowed=f"{option} for {', '.join(OPTIONS_OF[option])}"
            )


def _asked(task: Task, where: str, line: str) -> Example:
    """The example on a line; what is wrong with it says where it stands."""
    try:
        return task.ask(line.split("\t"))
    except InputError as error:
        raise InputError(f"{where}: {error.problem}", allowed=error.allowed, hint=error.hint) from None


def _lines(file: Path | None) -> Iterator[tuple[str, str]]:
    """The lines of a file, or of stdin as they come, each with its place."""
    from squeezebert_edge.tasks.data import read_lines

    if file is not None:
        yield from ((f"{file}:{number}", line) for number, line in enumerate(read_lines(file), start=1))
    elif sys.stdin.isatty():
        raise InputError("nothing to answer", allowed="a TEXT, --file FILE, or lines on stdin")
    else:
        for number, content in enumerate(sys.stdin.buffer, start=1):
            try:
                yield f"stdin:{number}", content.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                raise InputError(f"stdin:{number}: not UTF-8", hint="convert it to UTF-8") from None


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
