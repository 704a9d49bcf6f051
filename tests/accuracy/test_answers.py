"""What an artifact loses on labelled examples, and that damage is seen."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exporters.errors import InputError
from squeezebert_edge.accuracy.answers import (
    BatchedAnswers,
    RunnerAnswers,
    compare,
    evaluate,
    reference_answers,
)
from squeezebert_edge.accuracy.labelled import BATCH_ROWS
from squeezebert_edge.accuracy.metrics import Accuracy, EntityF1, LabelledPredictions, Matthews, TagAccuracy
from squeezebert_edge.accuracy.paired import AccuracyComparison, Pair
from squeezebert_edge.accuracy.trust import doubts
from squeezebert_edge.checkpoint.checkpoint import Checkpoint, load_checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.plumbing.journal import open_journal
from squeezebert_edge.proof.reference import Reference
from squeezebert_edge.tasks.data import Example, read_choices, read_lines, read_questions, read_texts
from squeezebert_edge.tasks.heads import (
    DEFAULT_DOC_STRIDE,
    LONGEST_ANSWER,
    TASKS,
    FillMask,
    Prediction,
    QuestionAnswering,
    Task,
    TextClassification,
    TokenClassification,
)
from squeezebert_edge.tasks.rows import answer_rows
from squeezebert_edge.text.tokenizer import Tokenizer
from tests.kit.sentiment import sentiment
from tests.kit.small import VOCABULARY, TorchRunner, small_checkpoint

LENGTHS = (16, 48)
Array = np.ndarray
Compute = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def reference_of(
    loaded: Checkpoint,
    examples: Sequence[Example],
    dataset: str | None = None,
    labels: Sequence[str] | None = None,
    max_length: int = LENGTHS[-1],
) -> BatchedAnswers:
    return reference_answers(loaded, examples, dataset=dataset, labels=labels, max_length=max_length)


def runner_of(loaded: Checkpoint, lengths: tuple[int, ...] = LENGTHS) -> TorchRunner:
    return TorchRunner(loaded.model, type(task_of(loaded)), lengths)


def answers_of(
    loaded: Checkpoint,
    reference: BatchedAnswers,
    runner: Compute | None = None,
    lengths: tuple[int, ...] = LENGTHS,
) -> RunnerAnswers:
    return RunnerAnswers(reference.data, loaded.tokenizer, runner or runner_of(loaded, lengths), lengths)


def compare_runner(
    loaded: Checkpoint, examples: Sequence[Example], runner: Compute | None = None, **options: Any
) -> AccuracyComparison:
    reference = reference_of(loaded, examples, **options)
    return compare(reference, answers_of(loaded, reference, runner))


def of_head(task: type[Task]) -> Checkpoint:
    """A random model of the head with the labels of its built-in samples."""
    tags = ["O", *(f"{place}-{kind}" for kind in ("PER", "LOC", "ORG", "MISC") for place in "BI")]
    labels = {"text-classification": ["negative", "positive"], "token-classification": tags}.get(task.name)
    names = {} if labels is None else {"id2label": dict(enumerate(labels))}
    return small_checkpoint(task.architecture, **names)


def samples(task: Task, tokenizer: Tokenizer) -> list[Example]:
    """Built-in ones, and where the small vocabulary spells those out in too many tokens, others."""
    if task.name == "fill-mask":
        words = ("food", "film", "good", "bad") * 8
        return [Example("the [MASK] is " + "good " * n, label=word) for n, word in enumerate(words)]
    if task.name == "question-answering":
        context = "the food is bad and the film is good . " * 6
        return [
            Example("is the film good", context[n:], label=("the film", context[n : n + 9]))
            for n in range(24)
        ]
    return task.built_in_examples(task.samples[0])[:40]


SCORED = [task for task in TASKS.values() if task(["a"]).metrics]


@pytest.mark.parametrize("task", SCORED, ids=lambda task: task.name)
def test_batches_of_the_reference_equal_single_rows(task: type[Task]) -> None:
    loaded = of_head(task)
    examples = samples(task_of(loaded), loaded.tokenizer)
    reference = reference_of(loaded, examples)
    data = reference.data
    assert sorted(index for batch in data.batches for index in batch) == list(range(len(examples)))
    alone = Reference(loaded.model, task)
    for batch in data.batches:
        reference.compute(batch)
    for index, example in enumerate(examples):
        encodings = data.task.encode(example, loaded.tokenizer, LENGTHS[-1], DEFAULT_DOC_STRIDE)
        rows = [
            answer_rows(data.task, loaded.tokenizer, alone, example, [len(encoding)])[0]
            for encoding in encodings[:1]
        ]
        expected = data.task.outputs_to_compare(rows, loaded.tokenizer)
        for name, found in reference.known[index].outputs.items():
            np.testing.assert_allclose(found[: expected[name].size], expected[name], atol=1e-5)


@pytest.mark.parametrize("task", SCORED, ids=lambda task: task.name)
def test_an_equal_artifact_loses_nothing(task: type[Task]) -> None:
    loaded = of_head(task)
    examples = samples(task_of(loaded), loaded.tokenizer)
    found = compare_runner(loaded, examples)
    assert found.examples == len(examples)
    assert (found.agreement, found.flips) == (1.0, ())
    assert found.sqnr_db > 100
    for metric in found.metrics:
        assert metric.difference == pytest.approx(0, abs=1e-4)
        assert metric.low <= metric.difference <= metric.high
        if metric.method == "tango":
            assert metric.low < 0 < metric.high
    assert found.passes(0.0)
    assert any("examples are few" in warning for warning in found.warnings)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["examples"] == len(examples)
    reference = reference_of(loaded, examples)
    for side in (reference, answers_of(loaded, reference)):
        assert evaluate(side) == pytest.approx({metric.name: metric.reference for metric in found.metrics})


def test_a_regression_is_compared_by_its_correlations() -> None:
    loaded = small_checkpoint(num_labels=1, problem_type="regression", id2label={0: "score"})
    examples = [Example("good " * n, label=str(n / 2)) for n in range(1, 30)]
    runner = runner_of(loaded)
    noise = np.random.default_rng(0)
    noisy = compare_runner(
        loaded,
        examples,
        lambda inputs: {"logits": runner(inputs)["logits"] + noise.normal(size=(1, 1)).astype(np.float32)},
        dataset="stsb",
    )
    assert [metric.name for metric in noisy.metrics] == ["pearson", "spearman"]
    assert all(metric.low < metric.difference < metric.high for metric in noisy.metrics)
    assert noisy.agreement is None
    assert noisy.mcnemar_p is None
    with pytest.raises(InputError, match="example 2: the label 'high' is not a number"):
        reference_of(loaded, [examples[0], Example("a", label="high")])


@pytest.fixture(scope="module")
def learned() -> Checkpoint:
    return sentiment()


SENTENCES = TextClassification().built_in_examples("sentences.tsv")


def swapped(runner: Compute) -> Compute:
    return lambda inputs: {"logits": runner(inputs)["logits"][:, ::-1]}


def without_mask(runner: Compute) -> Compute:
    return lambda inputs: runner({**inputs, "attention_mask": np.ones_like(inputs["attention_mask"])})


def without_numbers(runner: Compute) -> Compute:
    return lambda inputs: {"logits": np.full_like(runner(inputs)["logits"], np.nan)}


@pytest.mark.parametrize("damage", [swapped, without_mask, without_numbers])
def test_the_gate_sees_damage(learned: Checkpoint, damage: Callable[[Compute], Compute]) -> None:
    reference = reference_of(learned, SENTENCES, max_length=128)
    runner = damage(runner_of(learned, (128,)))
    found = compare(reference, answers_of(learned, reference, runner, (128,)))
    assert not found.passes(0.3)
    assert found.agreement is not None
    assert found.agreement < 0.995
    assert found.sqnr_db < 45
    assert found.mcnemar_p is not None
    assert found.mcnemar_p < 0.01
    assert found.metrics[0].high < 0
    assert len(found.flips) == round((1 - found.agreement) * len(SENTENCES))


def test_the_gate_counts_points_of_the_first_metric(learned: Checkpoint) -> None:
    runner, calls = runner_of(learned, (128,)), 0

    def wrong_once(inputs: Mapping[str, Array]) -> dict[str, Array]:
        nonlocal calls
        calls += 1
        logits = runner(inputs)["logits"]
        return {"logits": -logits if calls == 1 else logits}

    reference = reference_of(learned, SENTENCES, max_length=128)
    shortest = reference.data.batches[0][0]
    found = compare(reference, answers_of(learned, reference, wrong_once, (128,)))
    (flip,) = found.flips
    example = SENTENCES[shortest]
    assert (flip.index, flip.text, flip.where, flip.label) == (
        shortest, example.text, example.where, (example.label,),
    )  # fmt: skip
    assert {*flip.reference, *flip.artifact} == {"negative", "positive"}
    lost = flip.reference == flip.label
    assert found.metrics[0].difference == pytest.approx(-0.5 if lost else 0.5)
    assert found.passes(0.5) is True
    assert found.passes(0.49) is not lost


def test_labels_in_another_order_are_suspected(learned: Checkpoint) -> None:
    relabelled = [
        replace(example, label={"negative": "1", "positive": "0"}[example.label]) for example in SENTENCES
    ]
    found = compare_runner(learned, relabelled)
    (warning,) = [warning for warning in found.warnings if "another order" in warning]
    assert any("no better than chance" in warning for warning in found.warnings)
    assert not compare_runner(learned, SENTENCES).warnings
    advice = re.search("would be on 200 with --labels (.*)", warning)
    assert advice is not None
    labels = advice[1].split(",")
    assert not compare_runner(learned, relabelled, labels=labels).warnings
    assert evaluate(reference_of(learned, relabelled, labels=labels, max_length=128))["accuracy"] == 1.0


def test_advice_about_labels_was_tried() -> None:
    """Three numbered classes in the data set's order, which is not the checkpoint's."""
    loaded = small_checkpoint(num_labels=3, id2label={0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"})
    letters = np.random.default_rng(0).choice(list("abcdefgh "), (250, 12))
    texts = ["".join(row) for row in letters]
    answers = reference_of(loaded, [Example(text, label=0) for text in texts])
    found = [answer.prediction.decided[0] for answer in answers.compute(range(250))]
    theirs = {"LABEL_0": 2, "LABEL_1": 1, "LABEL_2": 0}
    examples = [Example(text, label=theirs[name]) for text, name in zip(texts, found, strict=True)]
    (warning,) = [each for each in compare_runner(loaded, examples).warnings if "another order" in each]
    advice = re.search("would be on 250 with --labels (.*)", warning)
    assert advice is not None
    assert advice[1] == "2,1,0"
    assert evaluate(reference_of(loaded, examples, labels=advice[1].split(","))) == {"accuracy": 1.0}


def test_rows_that_say_they_have_no_label_are_left_out_and_counted() -> None:
    loaded = small_checkpoint(id2label={0: "no", 1: "yes"})
    examples = [Example(f"good {label}", label=label) for label in ("no", "-", "yes", "-1", -1)]
    found = compare_runner(loaded, examples)
    assert (found.examples, found.unlabelled) == (2, 3)
    assert reference_of(small_checkpoint(id2label={0: "1", 1: "-1"}), examples[3:]).data.unlabelled == 0
    with pytest.raises(InputError, match="the label is '-', which says that there is none, in all examples"):
        reference_of(loaded, [examples[1], examples[3]])
    choices = small_checkpoint("SqueezeBertForMultipleChoice")
    asked = [Example("a", choices=("b", "c"), label=label) for label in (0, -1)]
    assert reference_of(choices, asked).data.unlabelled == 1
    score = small_checkpoint(num_labels=1)
    assert reference_of(score, [Example("a", label=-1), Example("b", label=2)]).data.targets == [-1.0, 2.0]


def test_a_limit_does_not_change_what_labels_mean() -> None:
    loaded = small_checkpoint(id2label={0: "1", 1: "2", 2: "3"})
    examples = [Example("good", label=label) for label in ("1", "2", "0")]
    data = reference_answers(loaded, examples, limit=2, max_length=48).data
    assert data.targets == [("2",), ("3",)]  # numbers from 0, as the third shows


def test_several_labels_are_scored() -> None:
    several = "multi_label_classification"
    loaded = small_checkpoint(id2label={0: "a", 1: "b", 2: "c"}, problem_type=several)
    letters = np.random.default_rng(0).choice(list("abcdefgh "), (250, 12))
    texts = ["".join(row) for row in letters]
    asked = reference_of(loaded, [Example(text, label=["a"]) for text in texts])
    held = [answer.prediction.decided for answer in asked.compute(range(250))]
    labels = [[name for name in names if not name.startswith("not ")] for names in held]
    examples = [Example(text, label=label) for text, label in zip(texts, labels, strict=True)]
    found = compare_runner(loaded, examples)
    assert {metric.name: metric.reference for metric in found.metrics} == {
        "micro_f1": 1.0,
        "macro_f1": 1.0,
        "exact_match": 1.0,
    }
    assert found.agreement == 1.0
    assert not found.warnings
    turned = [Example(text, label=label) for text, label in zip(texts, labels[::-1], strict=True)]
    assert any("no better than chance" in warning for warning in compare_runner(loaded, turned).warnings)


def test_a_reference_by_chance_is_said() -> None:
    loaded = small_checkpoint(id2label={0: "no", 1: "yes"})
    random = np.random.default_rng(0)
    letters = random.choice(list("abcdefgh "), (250, 12))
    examples = [
        Example("".join(row), label=str(label))
        for row, label in zip(letters, random.integers(0, 2, 250), strict=True)
    ]
    (warning,) = compare_runner(loaded, examples).warnings
    assert "no better than chance" in warning


def test_chance_is_judged_by_the_metric_that_gates() -> None:
    """Half of a rare class is found, with as many errors as saying the common one always would make."""
    task = TextClassification(["no", "yes"])
    kinds = [("no", "no")] * 350 + [("yes", "yes")] * 25 + [("yes", "no")] * 25 + [("no", "yes")] * 25
    targets, said = [(true,) for true, _ in kinds], [Prediction((label,)) for _, label in kinds]
    found = LabelledPredictions(targets, said)
    turned = LabelledPredictions(targets, said[::-1])
    examples = [Example("a", label=true) for true, _ in kinds]
    task = task.reads(examples)
    assert Matthews().value(found) > 0.4
    assert any("no better than chance" in doubt for doubt in doubts(task, examples, found, Accuracy()))
    assert doubts(task, examples, found, Matthews()) == []
    assert any("no better than chance" in doubt for doubt in doubts(task, examples, turned, Matthews()))


def test_tags_that_are_numbered_in_another_order_are_suspected() -> None:
    """CoNLL's own order is PER, ORG, LOC, MISC; many a checkpoint has another."""
    names = ["O", "B-MISC", "B-PER", "B-ORG"]
    theirs = {"O": 0, "B-PER": 1, "B-ORG": 2, "B-MISC": 3}
    random = np.random.default_rng(0)
    said = [tuple(map(str, random.choice(names, 6))) for _ in range(250)]
    words = ("a", "b", "c", "d", "e", "f")
    examples = [
        Example(" ".join(words), label=tuple(theirs[tag] for tag in tags), words=words) for tags in said
    ]
    task = TokenClassification(names).reads(examples)
    targets = [task.target(example, Tokenizer(VOCABULARY)) for example in examples]
    found = LabelledPredictions(targets, [Prediction(tags) for tags in said])
    (doubt,) = [each for each in doubts(task, examples, found, TagAccuracy()) if "another order" in each]
    assert doubt.endswith("would be on 1500 with --labels 0,3,1,2")
    named = [replace(example, label=tags) for example, tags in zip(examples, said, strict=True)]
    by_name = LabelledPredictions(said, found.predictions)
    assert not doubts(TokenClassification(names).reads(named), named, by_name, TagAccuracy())


def test_tags_of_a_scheme_that_the_file_has_not_are_said() -> None:
    task = TokenClassification(["O", "B-PER", "I-PER"])
    examples = [Example("a b", label=("O", "B-PER"), words=("a", "b"))] * 250
    targets = [("O", "B-PER")] * 250
    same = LabelledPredictions(targets, [Prediction(tags) for tags in targets])
    iob1 = LabelledPredictions(targets, [Prediction(("O", "I-PER"))] * 250)
    says = "begins entities with I- .*tag_accuracy counts that as wrong, entity_f1 does not"
    assert any(re.search(says, doubt) for doubt in doubts(task, examples, iob1, EntityF1()))
    assert not any(re.search(says, doubt) for doubt in doubts(task, examples, same, EntityF1()))


def test_texts_that_are_cut_are_counted() -> None:
    loaded = small_checkpoint(id2label={0: "no", 1: "yes"})
    examples = [Example("good " * length, label="no") for length in (3, 46, 47, 90)]
    assert compare_runner(loaded, examples).truncated == 2


@pytest.mark.parametrize(
    ("examples", "says"),
    [
        ([], "no examples"),
        ([Example("a", where="dev.tsv:2")], "dev.tsv:2: the example has no label"),
        ([Example("a", label="", where="dev.tsv:2")], "dev.tsv:2: the example has no label"),
        (
            [Example("a", label="maybe", where="dev.tsv:2")],
            "dev.tsv:2: the model has no label 'maybe'\nallowed: no, yes",
        ),
    ],
)
def test_examples_that_cannot_be_scored_say_where(examples: list[Example], says: str) -> None:
    with pytest.raises(InputError, match=says):
        reference_of(small_checkpoint(id2label={0: "no", 1: "yes"}), examples)


def test_a_mask_that_is_cut_off_says_where() -> None:
    examples = [Example("good " * 60 + "[MASK]", label="film", where="masked.jsonl:1")]
    with pytest.raises(InputError, match=r"masked.jsonl:1: there is no \[MASK\] within the longest length"):
        reference_of(of_head(FillMask), examples)


class Interrupted:
    """A runner that stops after so many rows, as a user would stop it."""

    def __init__(self, runner: Compute, after: int) -> None:
        self.runner, self.left = runner, after

    def __call__(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return self.runner(inputs)


def test_an_interrupted_comparison_continues(tmp_path: Path) -> None:
    loaded = of_head(QuestionAnswering)
    examples = samples(task_of(loaded), loaded.tokenizer)[:12]
    expected = compare_runner(loaded, examples)
    path = tmp_path / "answers.jsonl"
    runner = Interrupted(runner_of(loaded), after=20)
    with pytest.raises(KeyboardInterrupt), open_journal(path, "k", resume=False) as kept:
        reference = reference_of(loaded, examples)
        compare(reference, answers_of(loaded, reference, runner), journal=kept)
    with path.open("a") as file:
        file.write('[11, {"refer')  # a line that was being written
    runner.left = 10_000
    with open_journal(path, "k", resume=True) as kept:
        assert 0 < len(kept.done) < 12
        before = {*kept.done}
        reference = reference_of(loaded, examples)
        found = compare(reference, answers_of(loaded, reference, runner), journal=kept)
        done = [batch for batch in reference.data.batches if before >= {*batch}]
        assert done
        assert not {index for batch in done for index in batch} & {*reference.known}  # neither side again
        kept.delete()
    assert found == expected
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_said_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squeezebert_edge.accuracy.packages.PACKAGES", ("scipy", "no_such_package"))
    with pytest.raises(InputError, match="measuring accuracy needs no_such_package, which is not installed"):
        reference_answers(small_checkpoint(), [Example("good", label="1")], max_length=16)


@pytest.mark.parametrize("noise", [{}, {"logits": {"count": 0}}], ids=["no output", "no number"])
def test_a_kept_answer_without_its_noise_is_refused(noise: Any) -> None:
    prediction = {"decided": ["1"]}
    with pytest.raises(InputError, match="noise: sums over no number"):
        Pair.from_json({"reference": prediction, "artifact": prediction, "noise": noise})


def test_a_kept_answer_whose_sums_no_numbers_have_is_refused() -> None:
    prediction = {"decided": ["1"]}
    noise = {"logits": {"count": 2, "total": 1e300, "total_square": 4.0}}
    with pytest.raises(InputError, match="a sum larger than its squares allow"):
        Pair.from_json({"reference": prediction, "artifact": prediction, "noise": noise})


def with_real_words(shared: Path, architecture: str, **overrides: Any) -> Checkpoint:
    """A random tiny model over BERT's own vocabulary."""
    words = read_lines(shared / "data" / "bert-base-uncased" / "vocab.txt")
    loaded = small_checkpoint(architecture, vocab_size=len(words), **overrides)
    return replace(loaded, tokenizer=Tokenizer(words))


def damaged(loaded: Checkpoint) -> TorchRunner:
    """The model with noise in its weights, so that some decisions flip."""
    torch.manual_seed(1)
    model = copy.deepcopy(loaded.model)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return TorchRunner(model, type(task_of(loaded)), LENGTHS)


def test_qnli(shared: Path) -> None:
    loaded = with_real_words(shared, "SqueezeBertForSequenceClassification", num_labels=2)
    examples = read_texts(shared / "data" / "qnli" / "dev.tsv")[:300]
    found = compare_runner(loaded, examples, damaged(loaded), dataset="qnli")
    right = np.mean([flip.reference == flip.label for flip in found.flips])
    worse = np.mean([flip.artifact == flip.label for flip in found.flips])
    assert found.flips
    assert found.metrics[0].difference == pytest.approx(100 * len(found.flips) * (worse - right) / 300)
    assert {label for flip in found.flips for label in flip.label} <= {"entailment", "not_entailment"}


def test_squad(shared: Path) -> None:
    loaded = with_real_words(shared, "SqueezeBertForQuestionAnswering")
    examples = read_questions(shared / "data" / "squad" / "dev-v1.1.json")[:40]
    found = compare_runner(loaded, examples, damaged(loaded), dataset="squad")
    assert [metric.name for metric in found.metrics] == ["exact_match", "answer_f1"]
    assert found.metrics[1].reference > 0  # random spans share some words with the answers
    assert found.metrics[1].method == "bootstrap"
    assert found.truncated == 0
    for flip in found.flips:
        assert flip.pair is not None
        assert flip.reference[0] in flip.pair
        assert len(loaded.tokenizer.encode(flip.reference[0], max_length=99).ids) <= LONGEST_ANSWER + 2


def test_codah(shared: Path) -> None:
    loaded = with_real_words(shared, "SqueezeBertForMultipleChoice")
    examples = read_choices(shared / "data" / "codah" / "full_data.tsv")[:100]
    found = compare_runner(loaded, examples, damaged(loaded), dataset="codah")
    assert 0 < found.metrics[0].reference < 1
    assert all(len(flip.choices) == 4 for flip in found.flips)
    assert found.agreement == pytest.approx(1 - len(found.flips) / 100)


@pytest.mark.slow
def test_the_whole_of_sst2_at_the_speed_of_batches(shared: Path) -> None:
    source = shared / "checkpoints" / "squeezebert-medium-sst2"
    loaded = load_checkpoint(source)
    recorded = np.load(source / "sst2_dev_reference.npz")  # transformers' own logits
    reference = reference_of(loaded, read_texts(shared / "data" / "sst2" / "dev.tsv"), "sst2", max_length=64)
    for batch in reference.data.batches:
        reference.compute(batch)
    logits = np.stack([reference.known[index].outputs["logits"] for index in range(872)])
    np.testing.assert_allclose(logits, recorded["logits"], atol=1e-5)
    assert evaluate(reference)["accuracy"] * 872 == pytest.approx(712)
    assert BATCH_ROWS > 1
