"""What the labels of a file mean to a head: decided once for all of them, however each is written.

A file names classes or numbers them, in every row alike. `1`, `"1"` and `1.0` are one label, whether a TSV, a
CSV or JSON holds it.
"""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporters.errors import InputError, quote
from squeezebert_edge.plumbing.reading import parse_json

NO_GOLD = ("-", "-1")  # SNLI's mark for a row on which its annotators did not agree, and Hugging Face's
_HOLDS = {"0": False, "false": False, "1": True, "true": True}
_SEVERAL = re.compile("[,;|]")


@dataclass(frozen=True)
class LabelReading:
    """What each label of a file means.

    outputs: a label as `spell` writes it -> the output that it names.
    indicators: the file has a 0 or 1 for each output, in their order, in place of the labels that hold.
    """

    outputs: Mapping[str, int]
    indicators: bool = False

    def output_of(self, label: Any) -> int:
        """The output that a label names."""
        return self.outputs[spell(label)]

    def outputs_of(self, label: Any) -> frozenset[int]:
        """The outputs that hold, of a label that is several; columns that name none say nothing of them."""
        parts = split(label)
        if isinstance(label, Mapping):
            parts = [name for name in parts if spell(name) in self.outputs]
        if self.indicators:
            return frozenset(index for index, part in enumerate(parts) if holds(part))
        return frozenset(map(self.output_of, parts))


def spell(label: Any) -> str:
    """A label as text, the same for every kind of file."""
    text = str(label).lower() if isinstance(label, bool) else str(label).strip()
    return text.removesuffix(".0") if re.fullmatch(r"-?[0-9]+\.0", text) else text


def holds(value: Any) -> bool | None:
    """What an indicator says, 0 or 1, or false or true; None if it is none."""
    return _HOLDS.get(spell(value).lower())


def split(label: Any) -> list[Any]:
    """The parts of a label that is several.

    They are a list's items, the columns that say that they hold, or of a text what it lists as JSON, or what
    commas, semicolons or bars separate.

    Raises:
        InputError: a text opens as a list and is none.
    """
    if isinstance(label, Mapping):
        return [name for name, value in label.items() if holds(value)]
    if isinstance(label, str) and label.lstrip().startswith("["):
        found = parse_json(label, f"the label {quote(label)}")
        return found if isinstance(found, list) else [found]
    if isinstance(label, list | tuple):
        return list(label)
    return [part.strip() for part in _SEVERAL.split(spell(label)) if part.strip()]


def join_names(names: Sequence[str]) -> str:
    """Names as `--labels` takes them: with commas between them, and quotes where one has a comma itself."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()


def split_names(text: str) -> list[str]:
    """The names of `--labels`."""
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [""])]


def is_gold(label: Any, names: Sequence[str]) -> bool:
    """Whether a label is more than a mark that there is none; a model may have a class of such a name."""
    if isinstance(label, Mapping):
        return not label or any(spell(value) not in NO_GOLD for value in label.values())
    return isinstance(label, list | tuple) or spell(label) not in NO_GOLD or spell(label) in names


def are_default(names: Sequence[str]) -> bool:
    """Whether a checkpoint's labels only count its outputs: LABEL_0, LABEL_1, ... or 0, 1, ..."""
    return any(
        list(names) == [f"{prefix}{index}" for index in range(len(names))] for prefix in ("LABEL_", "")
    )


def fold(name: str) -> str:
    """A name without its case and its way of joining words: "Not entailment" as "not_entailment"."""
    return re.sub(r"[\s_-]+", "_", spell(name).casefold())


def read_labels(
    names: Sequence[str], written: Sequence[tuple[str, Any]], *, numbered: bool = True
) -> LabelReading:
    """Decide what the labels of a file mean: all are names of the model's, or else all are numbers from 0.

    Args:
        names: of the model's outputs.
        written: where each label stands, which may be nowhere, and the label.
        numbered: whether numbers may mean the outputs in their order.

    Raises:
        InputError: a label is neither; says where the first such one stands.
    """
    seen = {spell(label): where for where, label in reversed(written)}
    exact = {spell(name): index for index, name in enumerate(names)}
    folded = {fold(name): index for index, name in enumerate(names)}
    by_number = {str(index): index for index in range(len(names))} if numbered else {}
    readings = [{text: exact[text] for text in seen if text in exact}]
    if len(folded) == len(names):
        readings.append({text: folded[fold(text)] for text in seen if fold(text) in folded})
    readings.append({text: by_number[text] for text in seen if text in by_number})
    best = max(readings, key=len)  # of equals the first: a name before a number
    unknown = [text for text in seen if text not in best]
    if not unknown:
        return LabelReading(best)
    label = next(text for text in (spell(label) for _, label in written) if text in unknown)
    place = f"{seen[label]}: " if seen[label] else ""
    numbers = f", or a number from 0 to {len(names) - 1}, in every row alike" if numbered else ""
    raise InputError(
        f"{place}the model has no label {label!r}",
        allowed=", ".join(names) + numbers,
        hint=_hint(
            names, sorted(seen, key=lambda text: (len(text), text) if text.isdecimal() else (0, text))
        ),
    )


def refuse_mark(names: Sequence[str], reading: LabelReading, where: str) -> None:
    """Refuse a -1 that may be a class: a file may number its three classes -1, 0 and 1.

    It marks rows without a label where the others have each number from 0, or names.

    Args:
        reading: what the other labels mean.
        where: the first such label stands.

    Raises:
        InputError: the others are numbers, and a class has none.
    """
    outputs = reading.outputs
    if (
        not outputs
        or len(outputs) == len(names)
        or any(text != str(output) for text, output in outputs.items())
    ):
        return
    numbers = sorted({-1, *map(int, outputs)})
    as_class = f"--labels {join_names(list(map(str, numbers)))} if it is a class, or "
    raise InputError(
        f"{where}: the label is -1, and not every number from 0 to {len(names) - 1} is in the file",
        allowed="-1 for a row without a label, in a file that has every class",
        hint=(as_class if len(numbers) == len(names) else "")
        + f"--labels {join_names(list(map(str, range(len(names)))))} if it marks rows without a label",
    )


def read_several(
    names: Sequence[str], written: Sequence[tuple[str, Any]], *, numbered: bool = True
) -> LabelReading:
    """The same of labels that are several: names, numbers, or an indicator for each output.

    Raises:
        InputError: as `read_labels`.
    """
    columns = [(where, label) for where, label in written if isinstance(label, Mapping)]
    if columns:
        other = next((place for place, label in written if not isinstance(label, Mapping)), None)
        if other is not None:
            raise InputError(
                f"{other}: the label has another form than the first", allowed="one form in all rows"
            )
        return _read_columns(names, columns)
    rows = [(where, _split_at(where, label)) for where, label in written]
    if rows and all(len(parts) == len(names) and None not in map(holds, parts) for _, parts in rows):
        return LabelReading({}, indicators=True)
    return read_labels(names, [(where, part) for where, parts in rows for part in parts], numbered=numbered)


def _split_at(where: str, label: Any) -> list[Any]:
    """The parts of a label; an InputError says where it stands."""
    try:
        return split(label)
    except InputError as error:
        raise InputError(
            f"{where}: {error.problem}", allowed='a list as JSON, ["a", "b"], or names between commas'
        ) from None


def _read_columns(names: Sequence[str], written: Sequence[tuple[str, Mapping[str, Any]]]) -> LabelReading:
    """The same of labels that have a column each, of which the model's own must be there and whole."""
    columns = {name: where for where, label in reversed(written) for name in label}
    known = {fold(name) for name in names}
    own = [name for name in columns if fold(name) in known]
    flags = [name for name in columns if all(holds(label.get(name)) is not None for _, label in written)]
    if not own:
        raise InputError(
            f"no column that says what holds, {', '.join(columns)}, is called as a label of the model",
            allowed=", ".join(names),
            hint=_order_hint(names, flags) if len(flags) == len(names) else None,
        )
    for where, label in written:
        for name in own:
            if holds(label.get(name)) is None:
                raise InputError(
                    f"{where}: in the column {name} stands {quote(label.get(name))}",
                    allowed="0 or 1, or false or true, in every row",
                )
    held = [(where, name) for where, label in written for name in flags if holds(label[name])]
    reading = read_labels(names, [*held, *((columns[name], name) for name in own)], numbered=False)
    absent = [name for index, name in enumerate(names) if index not in reading.outputs.values()]
    if absent:
        raise InputError(
            f"the file has no column that says where {', '.join(absent)} holds: it has {', '.join(columns)}",
            allowed=f"a column for each of {', '.join(names)}",
        )
    return reading


def _hint(names: Sequence[str], seen: Sequence[str]) -> str | None:
    """How the file's labels can be given, if they are as many as the outputs and all names or all numbers.

    Those that the model has too, or has in a shorter or longer form, stand in its order.
    """
    own = {index: text for text in seen if (index := _nearest(names, text)) is not None}
    others = [text for text in seen if text not in own.values()]
    kinds = {text.removeprefix("-").isdecimal() for text in seen}
    if not len(own) + len(others) == len(seen) == len(names) or len(kinds) > 1:
        return None
    rest = iter(others)
    return _order_hint(names, [own.get(index) or next(rest) for index in range(len(names))])


def _nearest(names: Sequence[str], text: str) -> int | None:
    """The only output whose name is a label's, whatever its case, or begins it, or begins with it."""
    folded, wanted = [fold(name) for name in names], fold(text)
    if wanted in folded:
        return folded.index(wanted)
    near = [
        index for index, name in enumerate(folded) if name.startswith(wanted) or wanted.startswith(f"{name}_")
    ]
    return near[0] if len(near) == 1 and wanted else None


def _order_hint(names: Sequence[str], given: Sequence[str]) -> str:
    return (
        f"--labels {shlex.quote(join_names(given))} where that is the order of the outputs {', '.join(names)}"
    )
