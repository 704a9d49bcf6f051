"""What each head is for: how an example becomes rows of tokens, and how outputs become an answer.

A *row* is one pass through the network: a sentence is one row, a question over a long context one for each
window, a choice among n endings n rows. Names are those of Hugging Face's pipelines.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from exporters.arrays import Array
from exporters.errors import InputError
from squeezebert_edge.tasks import data
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.labels import (
    LabelReading,
    fold,
    is_gold,
    read_labels,
    read_several,
    refuse_mark,
    spell,
)

if TYPE_CHECKING:
    from squeezebert_edge.text.tokenizer import Encoding, Tokenizer


DEFAULT_DOC_STRIDE = 16
CANDIDATES_SHOWN = 5
N_BEST_POSITIONS = 20
LONGEST_ANSWER = 30  # tokens; SQuAD's usual bound


@dataclass(frozen=True)
class Row:
    """One pass through the network: its tokens, and its outputs without the batch axis and the padding."""

    encoding: Encoding
    outputs: Mapping[str, Array]


UNANSWERED = ""  # the decision where the outputs are not finite, or a word was cut off
NO_ANSWER = ""  # the right answer to some of SQuAD 2.0's questions
NOT_FINITE = "\0"  # the decision in its place where the outputs are not finite


@dataclass(frozen=True)
class Prediction:
    """What a model says of one example, as metrics take it.

    decided: the top-1 decisions: the class, for several labels each one's name or that it does not hold, the
        index of an ending, a tag for each word, the answer's text or the masked word; none for a regression.
    value: the number of a regression, or the loss of a masked word.
    """

    decided: tuple[str, ...]
    value: float | None = None


Target = tuple[str, ...] | float


class Task(ABC):
    """One head: its outputs, and how they are read.

    Args:
        labels: names of the classes, in the order of the head's outputs; empty where there are none.
        problem_type: of a classifier, as in Hugging Face's config.
        reading: what the labels of a file mean; None decides for each label by itself.
    """

    name: ClassVar[str]
    architecture: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    per_token: ClassVar[frozenset[str]] = frozenset()
    samples: ClassVar[tuple[str, ...]]
    windows: ClassVar[bool] = False  # whether a text too long for one row is read in several
    label_columns: ClassVar[tuple[str, ...]] = ()  # what a table may call the right answer

    def __init__(
        self,
        labels: Sequence[str] = (),
        problem_type: str | None = None,
        reading: LabelReading | None = None,
    ) -> None:
        self.labels, self.problem_type, self.reading = tuple(labels), problem_type, reading

    def ask(self, texts: Sequence[str]) -> Example:
        """An unlabelled example of what a user wrote.

        Raises:
            InputError: too few or too many texts for this task.
        """
        if len(texts) > 2:
            raise InputError(f"{len(texts)} texts were given", allowed=f"a text or a pair for {self.name}")
        return Example(texts[0], texts[1] if len(texts) == 2 else None)

    def cut(self, example: Example, tokenizer: Tokenizer, max_length: int) -> list[Encoding]:
        """The rows of an example, what exceeds `max_length` tokens cut off."""
        return [tokenizer.encode(example.text, example.pair, max_length=max_length)]

    def encode(
        self, example: Example, tokenizer: Tokenizer, max_length: int, doc_stride: int
    ) -> list[Encoding]:
        """The rows that answer an example; a context longer than `max_length` becomes windows."""
        return self.cut(example, tokenizer, max_length)

    def row(self, encoding: Encoding, outputs: Mapping[str, Array]) -> Row:
        """Strip the batch axis, and the padding where an output has a value per token."""
        real = {
            name: value[0, : len(encoding)] if name in self.per_token else value[0]
            for name, value in outputs.items()
        }
        return Row(encoding, real)

    @staticmethod
    @abstractmethod
    def read(path: Path) -> list[Example]:
        """A labelled file of this task's usual form."""

    def read_file(self, path: Path, columns: Mapping[str, int] | None = None) -> list[Example]:
        """A labelled file of this task's usual form.

        Args:
            columns: of a file without a header, what they have -> their number, counted from 0.

        Raises:
            InputError: this task has no such files.
        """
        if columns is None:
            return self.read(path)
        raise InputError(
            f"the files of {self.name} have no columns to choose from", allowed="--columns for tagged words"
        )

    @abstractmethod
    def decide(self, rows: Sequence[Row]) -> Array:
        """Every top-1 decision that the outputs hold, flat; what two models must agree on. May be empty."""

    @abstractmethod
    def answer(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> dict[str, Any]:
        """The answer as a user reads it."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics of answers, the one that gates first; empty if there are none."""
        return ("accuracy",)

    @abstractmethod
    def target(self, example: Example, tokenizer: Tokenizer) -> Target:
        """The right answer, as a Prediction has it; for a question, every accepted text.

        Raises:
            InputError: the label is missing, or the model does not know it.
        """

    @abstractmethod
    def predict(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> Prediction:
        """The answer as metrics take it."""

    def outputs_to_compare(self, rows: Sequence[Row], tokenizer: Tokenizer) -> dict[str, Array]:
        """The outputs by which an artifact and its reference are compared, flat."""
        return {name: np.concatenate([row.outputs[name].ravel() for row in rows]) for name in self.outputs}

    def built_in_examples(self, *samples: str) -> list[Example]:
        """The examples of the built-in samples that are named, or of all that this task has."""
        directory = resources.files("squeezebert_edge") / "assets" / "samples"
        examples = []
        for sample in samples or self.samples:
            with resources.as_file(directory / sample) as file:
                examples += type(self).read(file)
        return examples

    def labels_in(self, example: Example) -> tuple[Any, ...]:
        """What in an example's label names outputs of this head."""
        return ()

    def reads(self, examples: Sequence[Example], *, numbered: bool = True) -> Self:
        """This task with the meaning of a whole file's labels decided.

        Args:
            numbered: whether numbers in the file may mean the outputs in their order.

        Raises:
            InputError: a label names no output; says which example's.
        """
        written = [
            (place_of(example, number), label)
            for number, example in enumerate(examples, start=1)
            if self.has_gold(example)
            for label in self.labels_in(example)
        ]
        reading = self._read_labels(written, numbered=numbered)
        marks = [
            place_of(example, number)
            for number, example in enumerate(examples, start=1)
            if not self.has_gold(example) and spell(example.label) == "-1"
        ]
        if numbered and marks and self.problem_type != "multi_label_classification":
            refuse_mark(self.labels, reading, marks[0])
        return type(self)(self.labels, self.problem_type, reading)

    def _read_labels(self, written: Sequence[tuple[str, Any]], *, numbered: bool) -> LabelReading:
        return read_labels(self.labels, written, numbered=numbered)

    def has_gold(self, example: Example) -> bool:
        """Whether the right answer is known, or ought to be: a label that only marks its absence is none."""
        return is_gold(example.label, self.labels)

    def _require_label(self, example: Example) -> Any:
        """The example's label; an InputError if it has none."""
        if example.label is None or example.label == "" or isinstance(example.label, Mapping):
            seen = f": its columns are {', '.join(example.columns)}" if example.columns else ""
            raise InputError(
                f"the example has no label{seen}",
                allowed=f"a label in a column {' or '.join(self.label_columns)}, to measure accuracy",
            )
        return example.label

    def label_index(self, label: Any) -> int:
        """The output that a label in a file names, by its name or its number.

        Raises:
            InputError: the model has no such label.
        """
        reading = self.reading or read_labels(self.labels, [("", label)])
        return reading.output_of(label)


class TextClassification(Task):
    """A class, several classes or a number for a text or a pair."""

    name, architecture = "text-classification", "SqueezeBertForSequenceClassification"
    samples = ("sentences.tsv", "pairs.tsv")
    label_columns = data.texts.LABEL_COLUMNS
    read = staticmethod(data.read_texts)

    def read_file(self, path: Path, columns: Mapping[str, int] | None = None) -> list[Example]:
        """As for every task; a regression's number is in a column `score` where there are others too."""
        if columns is None and self.problem_type == "regression":
            return data.read_texts(path, data.texts.NUMBER_COLUMNS)
        return super().read_file(path, columns)

    def __init__(
        self,
        labels: Sequence[str] = (),
        problem_type: str | None = None,
        reading: LabelReading | None = None,
    ) -> None:
        # As transformers takes a head whose config says nothing: one output is a number, several are classes.
        resolved = "regression" if len(labels) == 1 else "single_label_classification"
        super().__init__(labels, problem_type or resolved, reading)

    def decide(self, rows: Sequence[Row]) -> Array:
        """The class; for several labels, each one's yes or no; nothing for a regression."""
        logits = rows[0].outputs["logits"]
        if self.problem_type == "regression":
            return np.empty(0, np.int64)
        return (
            logits > 0 if self.problem_type == "multi_label_classification" else np.array([logits.argmax()])
        )

    def answer(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> dict[str, Any]:
        """`label`, `score` and all `scores`; `labels` where several hold; `value` for a regression."""
        logits = rows[0].outputs["logits"]
        if self.problem_type == "regression":
            return {"value": logits[0].item() if len(logits) == 1 else logits.tolist()}
        if self.problem_type == "multi_label_classification":
            scores = dict(zip(self.labels, (1 / (1 + np.exp(-logits))).tolist(), strict=True))
            return {"labels": [label for label in self.labels if scores[label] > 0.5], "scores": scores}
        scores = dict(zip(self.labels, softmax(logits).tolist(), strict=True))
        label = self.labels[int(logits.argmax())]
        return {"label": label, "score": scores[label], "scores": scores}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Accuracy of classes, F1 of several labels, the correlations of a regression to one number."""
        if self.problem_type == "regression":
            return ("pearson", "spearman") if len(self.labels) == 1 else ()
        if self.problem_type == "multi_label_classification":
            return ("micro_f1", "macro_f1", "exact_match")
        return ("accuracy",)

    def labels_in(self, example: Example) -> tuple[Any, ...]:
        """The example's label; none of a regression, or where it has none."""
        several = self.problem_type == "multi_label_classification"
        is_there = example.label is not None and (
            several or (example.label != "" and not isinstance(example.label, Mapping))
        )
        return (example.label,) if is_there and self.problem_type != "regression" else ()

    def _read_labels(self, written: Sequence[tuple[str, Any]], *, numbered: bool) -> LabelReading:
        several = self.problem_type == "multi_label_classification"
        return (read_several if several else read_labels)(self.labels, written, numbered=numbered)

    def has_gold(self, example: Example) -> bool:
        """As for every task; -1 is a number like others of a regression."""
        return self.problem_type == "regression" or super().has_gold(example)

    def target(self, example: Example, tokenizer: Tokenizer) -> Target:
        """The name of the class, what holds of several labels and what does not, or the number."""
        several = self.problem_type == "multi_label_classification"
        is_whole = several and (example.label == "" or isinstance(example.label, Mapping))
        label = example.label if is_whole else self._require_label(example)
        if several:
            reading = self.reading or read_several(self.labels, [("", label)])
            held = reading.outputs_of(label)
            return self._held([index in held for index in range(len(self.labels))])
        if self.problem_type != "regression":
            return (self.labels[self.label_index(label)],)
        try:
            number = float(label)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise InputError(
                f"the label {label!r} is not a number", allowed="a finite number, for a regression"
            )
        return number

    def predict(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> Prediction:
        """The name of the class, what holds of several labels and what does not, or the number."""
        logits = rows[0].outputs["logits"]
        if self.problem_type == "regression":
            return Prediction((), float(logits[0]))
        if self.problem_type == "multi_label_classification":
            finite = np.isfinite(logits).all()
            return Prediction(self._held(logits > 0) if finite else (UNANSWERED,) * len(self.labels))
        return Prediction((_best(logits, self.labels),))

    def _held(self, holds: Iterable[bool]) -> tuple[str, ...]:
        """For each label its name where it holds, and otherwise its name after `not`."""
        return tuple(
            label if held else f"not {label}" for label, held in zip(self.labels, holds, strict=True)
        )


class MultipleChoice(Task):
    """The best of several endings. A row, and so an artifact, scores one ending."""

    name, architecture = "multiple-choice", "SqueezeBertForMultipleChoice"
    samples = ("choices.jsonl",)
    label_columns = data.choices.LABEL_COLUMNS
    read = staticmethod(data.read_choices)

    def ask(self, texts: Sequence[str]) -> Example:
        """A prompt and its endings."""
        if len(texts) < 3:
            raise InputError(
                "multiple choice needs a prompt and at least two choices", hint="--choice TEXT for each"
            )
        return Example(texts[0], choices=tuple(texts[1:]))

    def cut(self, example: Example, tokenizer: Tokenizer, max_length: int) -> list[Encoding]:
        """A row for each choice, after the prompt."""
        return [tokenizer.encode(example.text, choice, max_length=max_length) for choice in example.choices]

    def decide(self, rows: Sequence[Row]) -> Array:
        """The index of the chosen ending."""
        return np.array([np.concatenate([row.outputs["logits"] for row in rows]).argmax()])

    def answer(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> dict[str, Any]:
        """`choice` (its index), its `ending` and the choices' `scores`."""
        scores = softmax(np.concatenate([row.outputs["logits"] for row in rows]))
        choice = int(scores.argmax())
        return {"choice": choice, "ending": example.choices[choice], "scores": scores.tolist()}

    def target(self, example: Example, tokenizer: Tokenizer) -> Target:
        """The index of the right ending."""
        return (str(self._require_label(example)),)

    def predict(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> Prediction:
        """The index of the chosen ending."""
        scores = np.concatenate([row.outputs["logits"] for row in rows])
        return Prediction((_best(scores, [str(index) for index in range(len(scores))]),))


class TokenClassification(Task):
    """A class for each word, taken from its first piece."""

    name, architecture = "token-classification", "SqueezeBertForTokenClassification"
    per_token = frozenset({"logits"})
    samples = ("tagged.conll",)
    label_columns = data.tagged.TAG_COLUMNS
    read = staticmethod(data.read_tagged)

    def read_file(self, path: Path, columns: Mapping[str, int] | None = None) -> list[Example]:
        """CoNLL's columns, `word` and `tag` where they are said to be."""
        return data.read_tagged(path, columns)

    def decide(self, rows: Sequence[Row]) -> Array:
        """A class for every token."""
        return np.asarray(rows[0].outputs["logits"].argmax(-1))

    def answer(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> dict[str, Any]:
        """`words`, each with `start`, `end`, `label` and `score`; those past the last token are left out."""
        probabilities = softmax(rows[0].outputs["logits"])
        words = []
        for (start, end), token in self._word_tokens(example, rows[0].encoding):
            if token is not None:
                best = int(probabilities[token].argmax())
                words.append(
                    {
                        "word": example.text[start:end],
                        "start": start,
                        "end": end,
                        "label": self.labels[best],
                        "score": probabilities[token, best].item(),
                    }
                )
        return {"words": words}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The F1 of entities where all tags are an entity's (B-PER, O), and the share of words."""
        entities = all(re.fullmatch(r"O|[BIESLU]-.+", label) for label in self.labels)
        return ("entity_f1", "tag_accuracy") if entities else ("tag_accuracy",)

    def _require_label(self, example: Example) -> Any:
        if example.label is None and example.columns and example.columns[0].startswith("0="):
            raise InputError(
                "the first column counts words or is the same in all lines of a sentence, and several others "
                "may have the words and the tags: " + ", ".join(example.columns),
                allowed="a word and its tag on each line, or the numbers of their columns",
                hint="--columns word=1,tag=2",
            )
        return super()._require_label(example)

    def labels_in(self, example: Example) -> tuple[Any, ...]:
        """The tags."""
        return () if example.label is None else tuple(example.label)

    def _read_labels(self, written: Sequence[tuple[str, Any]], *, numbered: bool) -> LabelReading:
        """As for every task; a tag may be of another scheme than the model's."""
        known = {fold(label) for label in self.labels}
        own = {spell(tag): _in_scheme(spell(tag), known) for _, tag in written}
        named = [(where, own[spell(tag)]) for where, tag in written]
        reading = super()._read_labels(named, numbered=numbered)
        return LabelReading({tag: reading.output_of(name) for tag, name in own.items()})

    def target(self, example: Example, tokenizer: Tokenizer) -> Target:
        """The name of each word's tag."""
        return tuple(self.labels[self.label_index(tag)] for tag in self._require_label(example))

    def predict(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> Prediction:
        """The name of each word's tag; UNANSWERED for a word that has no token."""
        logits = rows[0].outputs["logits"]
        tokens = [token for _, token in self._word_tokens(example, rows[0].encoding)]
        return Prediction(
            tuple(UNANSWERED if token is None else _best(logits[token], self.labels) for token in tokens)
        )

    @staticmethod
    def _word_tokens(example: Example, encoding: Encoding) -> list[tuple[tuple[int, int], int | None]]:
        """Each word's span and first token: words as labelled, or BERT's own in a plain text."""
        if not example.words:
            firsts: dict[int, int] = {}
            lasts: dict[int, int] = {}
            for token, word in enumerate(encoding.words):
                if word is not None and encoding.sequences[token] == 0:
                    firsts.setdefault(word, token)
                    lasts[word] = token
            return [
                ((encoding.offsets[first][0], encoding.offsets[lasts[word]][1]), first)
                for word, first in firsts.items()
            ]
        starts = {
            start: token
            for token, (start, _) in reversed(list(enumerate(encoding.offsets)))
            if encoding.sequences[token] == 0
        }
        ends = np.cumsum([len(word) + 1 for word in example.words]) - 1  # a space stands between two words
        spans = [(int(end) - len(word), int(end)) for word, end in zip(example.words, ends, strict=True)]
        return [(span, next((starts[i] for i in range(*span) if i in starts), None)) for span in spans]


class FillMask(Task):
    """The word behind each [MASK]."""

    name, architecture = "fill-mask", "SqueezeBertForMaskedLM"
    per_token = frozenset({"logits"})
    samples = ("masked.jsonl",)
    label_columns = data.masked.LABEL_COLUMNS
    read = staticmethod(data.read_masked)

    def encode(
        self, example: Example, tokenizer: Tokenizer, max_length: int, doc_stride: int
    ) -> list[Encoding]:
        """One row; an InputError if no [MASK] is left in it."""
        rows = self.cut(example, tokenizer, max_length)
        self._mask_positions(rows[0], tokenizer)
        return rows

    def decide(self, rows: Sequence[Row]) -> Array:
        """A word for every token."""
        return np.asarray(rows[0].outputs["logits"].argmax(-1))

    def answer(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> dict[str, Any]:
        """`masks`: for each [MASK] its `start`, `end` and the best five `candidates` with their scores."""
        masks = []
        for token in self._mask_positions(rows[0].encoding, tokenizer):
            logits = rows[0].outputs["logits"][token, : len(tokenizer.vocab)]
            scores = softmax(logits)
            best = np.argsort(-logits, kind="stable")[:CANDIDATES_SHOWN]
            start, end = rows[0].encoding.offsets[token]
            candidates = [{"token": tokenizer.vocab[i], "score": scores[i].item()} for i in best]
            masks.append({"start": start, "end": end, "candidates": candidates})
        return {"masks": masks}

    @property
    def metrics(self) -> tuple[str, ...]:
        """How often the first candidate is the word, and the mean cross entropy."""
        return ("accuracy", "loss")

    def target(self, example: Example, tokenizer: Tokenizer) -> Target:
        """The one token that the word is."""
        label = self._require_label(example)
        tokens = tokenizer.encode(label, max_length=len(label) + 3).tokens[1:-1]
        if len(tokens) != 1 or tokens[0] == tokenizer.flags.special_tokens["unk"]:
            raise InputError(f"the answer {label!r} is not one word of the vocabulary", allowed="one token")
        return (tokens[0],)

    def predict(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> Prediction:
        """The best word at the first [MASK], and the cross entropy of the right one in nats."""
        logits = (
            rows[0].outputs["logits"][self._mask_positions(rows[0].encoding, tokenizer)[0]].astype(np.float64)
        )
        logits = logits[: len(tokenizer.vocab)]
        (right,) = self.target(example, tokenizer)  # type: ignore[misc]
        largest = logits.max()
        loss = largest + np.log(np.exp(logits - largest).sum()) - logits[tokenizer.vocab.index(right)]
        return Prediction((_best(logits, tokenizer.vocab),), float(loss))

    def outputs_to_compare(self, rows: Sequence[Row], tokenizer: Tokenizer) -> dict[str, Array]:
        """The logits at each [MASK] alone, since every token has as many as the vocabulary has words."""
        masked = self._mask_positions(rows[0].encoding, tokenizer)
        return {"logits": rows[0].outputs["logits"][masked].ravel()}

    @staticmethod
    def _mask_positions(encoding: Encoding, tokenizer: Tokenizer) -> list[int]:
        mask = tokenizer.special_ids["mask"]
        tokens = [token for token, id_ in enumerate(encoding.ids) if id_ == mask]
        if not tokens:
            where = "within the longest length" if encoding.truncated else "in the text"
            raise InputError(
                f"there is no {tokenizer.vocab[mask]} {where}",
                allowed=f"a text with {tokenizer.vocab[mask]} in it",
            )
        return tokens


class QuestionAnswering(Task):
    """The span of the context that answers the question, or that none does (SQuAD).

    null_threshold: how much more no answer must score than the best span to be the prediction, as SQuAD 2.0
        has it; None where every question has an answer.
    """

    null_threshold: float | None = None

    name, architecture = "question-answering", "SqueezeBertForQuestionAnswering"
    outputs = ("start_logits", "end_logits")
    per_token = frozenset(outputs)
    windows = True
    samples = ("questions.jsonl",)
    label_columns = data.questions.LABEL_COLUMNS
    read = staticmethod(data.read_questions)

    def ask(self, texts: Sequence[str]) -> Example:
        """A question and its context."""
        if len(texts) != 2:
            raise InputError(
                "question answering needs a question and a context", hint="--question TEXT --context TEXT"
            )
        return Example(texts[0], texts[1])

    def encode(
        self, example: Example, tokenizer: Tokenizer, max_length: int, doc_stride: int
    ) -> list[Encoding]:
        """Overlapping windows over the context, the question before each."""
        assert example.pair is not None
        return tokenizer.windows(example.text, example.pair, max_length=max_length, doc_stride=doc_stride)

    def decide(self, rows: Sequence[Row]) -> Array:
        """The likeliest start and end of every window."""
        return np.array([row.outputs[name].argmax() for row in rows for name in self.outputs])

    def answer(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> dict[str, Any]:
        """`answer`, cut from the context, its `start` and `end` there, and its `score` among the spans."""
        spans = [span for row in rows for span in self._spans(row)]
        if not spans:
            return {"answer": "", "start": 0, "end": 0, "score": 0.0}
        scores = softmax(np.array([logit for logit, _, _ in spans]))
        best = int(scores.argmax())
        _, start, end = spans[best]
        assert example.pair is not None
        return {"answer": example.pair[start:end], "start": start, "end": end, "score": scores[best].item()}

    @property
    def metrics(self) -> tuple[str, ...]:
        """SQuAD's exact match and F1."""
        return ("exact_match", "answer_f1")

    def reads(self, examples: Sequence[Example], *, numbered: bool = True) -> Self:
        """This task with a null score where some of the questions have no answer."""
        task = super().reads(examples, numbered=numbered)
        task.null_threshold = self.null_threshold
        if task.null_threshold is None and any(example.label == () for example in examples):
            task.null_threshold = 0.0
        return task

    def target(self, example: Example, tokenizer: Tokenizer) -> Target:
        """Every accepted text; NO_ANSWER alone where there is none."""
        return tuple(self._require_label(example)) or (NO_ANSWER,)

    def predict(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> Prediction:
        """The text of the answer, cut from the context; NO_ANSWER if that scores more by the threshold."""
        spans = [span for row in rows for span in self._spans(row)]
        if not spans:
            return Prediction((UNANSWERED if self.null_threshold is None else NOT_FINITE,))
        if self.null_threshold is not None:
            # Of a span from [CLS] to [CLS] in the window where it scores least (transformers' run_qa.py).
            null = min(float(sum(row.outputs[name][0] for name in self.outputs)) for row in rows)
            if null - max(score for score, _, _ in spans) > self.null_threshold:
                return Prediction((NO_ANSWER,))
        return Prediction((self.answer(example, rows, tokenizer)["answer"],))

    def _spans(self, row: Row) -> list[tuple[float, int, int]]:
        """The valid spans among a window's best starts and ends: (logit, start, end in the context)."""
        starts, ends = (row.outputs[name] for name in self.outputs)
        context = {token for token, sequence in enumerate(row.encoding.sequences) if sequence == 1}
        offsets = row.encoding.offsets
        return [
            (float(starts[first] + ends[last]), offsets[first][0], offsets[last][1])
            for first in np.argsort(-starts, kind="stable")[:N_BEST_POSITIONS].tolist()
            for last in np.argsort(-ends, kind="stable")[:N_BEST_POSITIONS].tolist()
            if first in context
            and last in context
            and first <= last < first + LONGEST_ANSWER
            and np.isfinite(starts[first] + ends[last])
        ]


class FeatureExtraction(Task):
    """The bare model: hidden states and the pooled first one."""

    name, architecture = "feature-extraction", "SqueezeBertModel"
    outputs = ("last_hidden_state", "pooler_output")
    per_token = frozenset({"last_hidden_state"})
    samples = ("pairs.tsv", "sentences.tsv")
    read = staticmethod(data.read_texts)

    def decide(self, rows: Sequence[Row]) -> Array:
        """Nothing, since features decide nothing."""
        return np.empty(0, np.int64)

    def answer(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> dict[str, Any]:
        """`tokens`, and the two outputs as nested lists."""
        values = {name: value.tolist() for name, value in rows[0].outputs.items()}
        return {"tokens": list(rows[0].encoding.tokens), **values}

    metrics = ()

    def target(self, example: Example, tokenizer: Tokenizer) -> Target:
        """Always refused, since features are neither right nor wrong."""
        raise InputError(f"{self.name} has no accuracy")

    def predict(self, example: Example, rows: Sequence[Row], tokenizer: Tokenizer) -> Prediction:
        """Nothing, since features answer nothing."""
        return Prediction(())


TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        TextClassification,
        MultipleChoice,
        TokenClassification,
        QuestionAnswering,
        FillMask,
        FeatureExtraction,
    )
}


def of_architecture(architecture: str) -> type[Task]:
    """The task of a Hugging Face class name."""
    return next(task for task in TASKS.values() if task.architecture == architecture)


# Where an entity has one word (IOBES: S, BILOU: U), and where it ends (E, L), by the names of other schemes.
_SCHEMES = {"S": "UB", "U": "SB", "E": "LI", "L": "EI"}


def _in_scheme(tag: str, known: Collection[str]) -> str:
    """A tag of IOBES or BILOU by the name that a model has for it in its own scheme, if it is another."""
    if fold(tag) in known or tag[1:2] != "-":
        return tag
    names = (f"{first}{tag[1:]}" for first in _SCHEMES.get(tag[0].upper(), ""))
    return next((name for name in names if fold(name) in known), tag)


def softmax(logits: Array) -> Array:
    """Probabilities over the last axis."""
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: Array = exponentials / exponentials.sum(-1, keepdims=True)
    return probabilities


def place_of(example: Example, number: int) -> str:
    """Where an example stands, for messages: its line, or its number counted from 1."""
    return example.where or f"example {number}"


def _best(logits: Array, names: Sequence[str]) -> str:
    """The name of the largest logit; UNANSWERED if any of them is not finite."""
    return names[int(logits.argmax())] if np.isfinite(logits).all() else UNANSWERED
