"""What the labels of a file mean to a head: decided once for all of them, however each is written.

A file names classes or numbers them, in every row alike. `1`, `"1"` and `1.0` are one label, whether a TSV, a
CSV or JSON holds it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporters.errors import InputError

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
        """The outputs that hold, of a label that is several."""
        parts = split(label)
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
    """The parts of a label that is several: a list's items, or what commas, semicolons or bars separate."""
    if isinstance(label, list | tuple):
        return list(label)
    return [part.strip() for part in _SEVERAL.split(spell(label)) if part.strip()]


def is_gold(label: Any, names: Sequence[str]) -> bool:
    """Whether a label is more than a mark that there is none; a model may have a class of such a name."""
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


def read_several(
    names: Sequence[str], written: Sequence[tuple[str, Any]], *, numbered: bool = True
) -> LabelReading:
    """The same of labels that are several: names, numbers, or an indicator for each output.

    Raises:
        InputError: as `read_labels`.
    """
    rows = [(where, split(label)) for where, label in written]
    if rows and all(len(parts) == len(names) and None not in map(holds, parts) for _, parts in rows):
        return LabelReading({}, indicators=True)
    return read_labels(names, [(where, part) for where, parts in rows for part in parts], numbered=numbered)


def _hint(names: Sequence[str], seen: Sequence[str]) -> str | None:
    """How the file's labels can be given, if they are as many as the outputs and all names or all numbers.

    Those that the model has too stand in its order.
    """
    outputs = {fold(name): index for index, name in enumerate(names)}
    own = {outputs[fold(text)]: text for text in seen if fold(text) in outputs}
    others = [text for text in seen if fold(text) not in outputs]
    kinds = {text.removeprefix("-").isdecimal() for text in seen}
    if not len(own) + len(others) == len(seen) == len(names) or len(kinds) > 1:
        return None
    rest = iter(others)
    given = shlex.quote(",".join(own.get(index) or next(rest) for index in range(len(names))))
    return f"--labels {given} where that is the order of the outputs {', '.join(names)}"
