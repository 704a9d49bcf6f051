"""Training learns, resumes and spreads over processes to the same weights, and writes what others read."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from exporters.errors import GateError, InputError, UnavailableError
from squeezebert_edge.accuracy.answers import evaluate, reference_answers
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.tasks.data import Example, read_texts
from squeezebert_edge.training import train as training
from squeezebert_edge.training.data import encode, epoch_order, hold_out, labels_in, read_classes
from squeezebert_edge.training.layers import BatchNoise, prepare_for_training
from squeezebert_edge.training.run import Run
from squeezebert_edge.training.state import state_path
from tests.kit.tiny import tiny_config, tiny_model
from tests.kit.trained import (
    CONFIG,
    SIZE,
    TOKENIZER,
    TRAINING,
    VALIDATION,
    in_two_processes,
    opinions,
    run,
    same,
    stop_after,
    train_verb,
    weights,
    write_tsv,
)


def test_it_learns_and_writes_what_transformers_reads(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, SqueezeBertForSequenceClassification

    result = run(tmp_path / "out")
    assert result.accuracy >= 0.95
    assert result.accuracy == result.best.validation_accuracy
    assert [epoch.epoch for epoch in result.epochs] == [1, 2, 3, 4, 5]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]

    loaded = load_checkpoint(str(tmp_path / "out"))
    task = task_of(loaded)
    assert task.labels == ("negative", "positive")
    measured = evaluate(reference_answers(loaded, VALIDATION, max_length=24))
    assert measured == {"accuracy": pytest.approx(result.accuracy)}

    theirs = SqueezeBertForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    batch = tokenizer([example.text for example in VALIDATION], padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = theirs(**batch).logits
        found = loaded.model(**batch).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    right = [int(example.label) for example in VALIDATION]
    assert (expected.argmax(1) == torch.tensor(right)).float().mean().item() == pytest.approx(result.accuracy)


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=1)
    run(tmp_path / "a", config)
    torch.rand(3)
    run(tmp_path / "b", config)
    run(tmp_path / "c", replace(config, seed=1))
    assert same(tmp_path / "a", tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


def test_training_leaves_the_model_and_torchs_generator_alone(tmp_path: Path) -> None:
    model = training.from_scratch(SIZE, TOKENIZER, ("0", "1"), CONFIG)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generator = torch.get_rng_state()
    training.train(replace(CONFIG, epochs=1), model, TOKENIZER, TRAINING, VALIDATION, tmp_path / "out")
    assert torch.equal(torch.get_rng_state(), generator)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


# 11 steps an epoch: in the first epoch, at its end, in the second, and just before the last step.
@pytest.mark.parametrize("steps", [4, 11, 15, 54])
def test_an_interrupted_training_resumes_to_the_same_weights(tmp_path: Path, steps: int) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", progress=stop_after(steps))
    assert [path.name for path in tmp_path.iterdir() if path.name != "whole"] == ["out.training.pt"]
    with pytest.raises(InputError, match="--resume"):
        run(tmp_path / "out")
    result = run(tmp_path / "out", resume=True)
    assert same(tmp_path / "whole", tmp_path / "out")
    assert result.epochs == whole.epochs
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


def test_a_second_interruption_is_immediate(tmp_path: Path) -> None:
    def progress(stage: str, done: int, total: int) -> None:
        if stage.startswith("epoch"):
            signal.raise_signal(signal.SIGINT)
            while signal.getsignal(signal.SIGINT) is not before:  # two that wait to be handled would be one
                time.sleep(0.001)
            signal.raise_signal(signal.SIGINT)

    before = signal.default_int_handler
    found = signal.signal(signal.SIGINT, before)  # a shell's background jobs begin with SIGINT ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "out", progress=progress)
        assert list(tmp_path.iterdir()) == []
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, found)


def test_resuming_with_other_settings_lists_them(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", progress=stop_after(4, signal.SIGTERM))
    other = replace(CONFIG, learning_rate=1e-3, epochs=7, device="cpu")
    with pytest.raises(InputError) as error:
        run(tmp_path / "out", other, training_examples=TRAINING[:100], resume=True)
    listed = [line.strip() for line in error.value.problem.split("\n")[1:]]
    assert listed[:2] == ["learning_rate: 0.001, was 0.003", "epochs: 7, was 5"]
    assert [line.partition(":")[0] for line in listed[2:]] == ["training data"]


def test_a_damaged_state_is_an_error(tmp_path: Path) -> None:
    state_path(tmp_path / "out").write_bytes(b"PK not a state")
    with pytest.raises(InputError, match="damaged"):
        run(tmp_path / "out", resume=True)
    run(tmp_path / "out", replace(CONFIG, epochs=1), force=True)


def test_a_loss_that_is_not_finite_stops_with_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GateError, match=r"step 2 of 55, at learning rate 9.8e\+29: the loss is nan"):
        run(tmp_path / "first", replace(CONFIG, learning_rate=1e30, warmup=0, clip_norm=1e30))
    assert list(tmp_path.iterdir()) == []

    monkeypatch.setattr(Run, "learning_rate", lambda self: 1e30 if self.step >= 15 else 3e-3)
    with pytest.raises(GateError, match=r"(?s)step 17 of 55.*the state of step 11"):
        run(tmp_path / "second")
    assert [path.name for path in tmp_path.iterdir()] == ["second.training.pt"]
    monkeypatch.undo()
    assert len(run(tmp_path / "second", resume=True).epochs) == 5


SCRIPT = """
import json, sys, warnings
from pathlib import Path
from dataclasses import asdict, replace
from tests.kit.trained import CONFIG, run
from squeezebert_edge.training.processes import rank

epochs = run(Path(sys.argv[1]), replace(CONFIG, batch_size=32), log=print).epochs
if rank() == 0:
    Path(sys.argv[2]).write_text(json.dumps([asdict(epoch) for epoch in epochs]))
"""


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """161 examples in batches of 32: the last batch has one, which leaves the second process without any."""
    done = in_two_processes(SCRIPT, tmp_path, str(tmp_path / "two"), str(tmp_path / "epochs.json"))
    one = run(tmp_path / "one", replace(CONFIG, batch_size=32))
    two = json.loads((tmp_path / "epochs.json").read_text())
    for ours, theirs in zip(one.epochs, two, strict=True):
        assert theirs["loss"] == pytest.approx(ours.loss, abs=1e-4)
        assert theirs["validation_loss"] == pytest.approx(ours.validation_loss, abs=1e-4)
        assert theirs["validation_accuracy"] == ours.validation_accuracy
    found = weights(tmp_path / "two")
    for name, expected in weights(tmp_path / "one").items():
        torch.testing.assert_close(found[name], expected, atol=1e-3, rtol=1e-3)
    told = [line for line in done.stdout.split("\n") if line.startswith("epoch ")]
    assert len(told) == CONFIG.epochs


def test_the_network_that_is_trained_is_the_reference() -> None:
    model = tiny_model()
    network = prepare_for_training(model, BatchNoise(torch.device("cpu")), dropout=None).eval()
    assert network.state_dict().keys() == model.state_dict().keys()
    ids = torch.randint(0, 120, (3, 7), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(7) < torch.tensor([[7], [4], [2]])).long()
    gradients = []
    for each in (model, network):
        logits = each(ids, mask).logits
        logits.square().sum().backward()
        gradients.append((logits, {name: value.grad for name, value in each.named_parameters()}))
    torch.testing.assert_close(gradients[0], gradients[1])


def test_dropout_does_not_depend_on_how_the_batch_is_spread() -> None:
    noise = BatchNoise(torch.device("cpu"))
    x = torch.ones(5, 8, 30)
    noise.begin(seed=0, step=3, total=5, rows=slice(None))
    whole = noise.keep_mask(x, 0.75)
    assert whole.float().mean().item() == pytest.approx(0.75, abs=0.05)
    for rank in range(2):
        rows = slice(rank, 5, 2)
        noise.begin(seed=0, step=3, total=5, rows=rows)
        assert torch.equal(noise.keep_mask(x[rows], 0.75), whole[rows])
    noise.begin(seed=0, step=4, total=5, rows=slice(None))
    assert not torch.equal(noise.keep_mask(x, 0.75), whole)


def test_an_epoch_holds_every_example_once_and_like_lengths_together() -> None:
    sizes = [random.Random(0).randint(3, 60) for _ in range(1003)]
    order = epoch_order(sizes, 32, seed=0, epoch=0)
    assert sorted(index for batch in order for index in batch) == list(range(1003))
    assert sorted(map(len, order)) == [1003 % 32, *[32] * 31]
    padded = sum(len(batch) * max(sizes[index] for index in batch) for batch in order)
    assert padded < 1.1 * sum(sizes)
    assert order == epoch_order(sizes, 32, seed=0, epoch=0)
    assert order != epoch_order(sizes, 32, seed=0, epoch=1)


def test_pairs_are_learned_as_pairs(tmp_path: Path) -> None:
    """Both texts are opinions, and the label is the second one's."""
    pairs = zip(opinions(400, seed=2), random.Random(0).sample(opinions(400, seed=3), 400), strict=True)
    examples = [Example(first.text, second.text, label=second.label) for first, second in pairs]
    config = replace(CONFIG, max_length=48)
    model = training.from_scratch(SIZE, TOKENIZER, labels_in(examples), config)
    result = training.train(config, model, TOKENIZER, examples, None, tmp_path / "out")
    assert (result.training_examples, result.validation_examples) == (360, 40)
    assert result.accuracy >= 0.95


def test_holding_out_keeps_the_shares_of_the_classes() -> None:
    examples = [Example(str(number), label="rare" if number % 10 == 0 else "usual") for number in range(200)]
    kept, held = hold_out(examples, 0.1, seed=0)
    assert [len(kept), len(held)] == [180, 20]
    assert sum(example.label == "rare" for example in held) == 2
    assert {example.text for example in kept}.isdisjoint(example.text for example in held)
    assert hold_out(examples, 0.1, seed=0) == (kept, held)


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.model_selection", None)
    with pytest.raises(UnavailableError, match=r"squeezebert-edge\[train\]"):
        hold_out(TRAINING, 0.1, seed=0)


def test_half_stores_float16_and_reports_the_accuracy_of_what_is_stored(tmp_path: Path) -> None:
    result = run(tmp_path / "out", replace(CONFIG, epochs=4), dtype=torch.float16)
    assert {tensor.dtype for tensor in weights(tmp_path / "out").values()} == {torch.float16}
    loaded = load_checkpoint(str(tmp_path / "out"))
    measured = evaluate(reference_answers(loaded, VALIDATION, max_length=24))
    assert measured == {"accuracy": pytest.approx(result.accuracy)}


def save_tiny(directory: Path, architecture: str, **overrides: Any) -> None:
    overrides = {"vocab_size": len(TOKENIZER.vocab)} | overrides
    model = tiny_model(architecture, **overrides)
    save_checkpoint(directory, config=tiny_config(**overrides), model=model, tokenizer=TOKENIZER)


def test_fine_tuning_keeps_a_classifier_and_gives_a_headless_checkpoint_a_new_head(tmp_path: Path) -> None:
    names = {"id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}}
    save_tiny(tmp_path / "classifier", "SqueezeBertForSequenceClassification", **names)
    kept = training.from_checkpoint(str(tmp_path / "classifier"), TRAINING, None, seed=0)
    assert torch.equal(
        kept.model.state_dict()["classifier.weight"], weights(tmp_path / "classifier")["classifier.weight"]
    )
    other = training.from_checkpoint(str(tmp_path / "classifier"), TRAINING, ("a", "b", "c"), seed=0)
    assert other.config.num_labels == 3

    save_tiny(tmp_path / "masked", "SqueezeBertForMaskedLM", return_dict=False)
    torch.rand(3)
    heads = [training.from_checkpoint(str(tmp_path / "masked"), TRAINING, None, seed=0) for _ in range(2)]
    assert list(heads[0].config.id2label.values()) == ["0", "1"]
    for name, tensor in heads[0].model.state_dict().items():
        assert torch.equal(tensor, heads[1].model.state_dict()[name])

    result = training.train(CONFIG, heads[0].model, TOKENIZER, TRAINING, VALIDATION, tmp_path / "out")
    assert result.accuracy >= 0.85


def test_biases_and_layer_norms_do_not_decay(tmp_path: Path) -> None:
    """At a learning rate too small to learn, decay is all that moves the weights."""
    config = replace(CONFIG, learning_rate=1e-9, weight_decay=1e8, epochs=1, warmup=0)
    model = training.from_scratch(SIZE, TOKENIZER, ("0", "1"), config)
    training.train(config, model, TOKENIZER, TRAINING, VALIDATION, tmp_path / "out")
    before, after = model.state_dict(), weights(tmp_path / "out")
    for name, tensor in before.items():
        if tensor.dim() == 1:
            torch.testing.assert_close(after[name], tensor, atol=1e-6, rtol=0)
        elif tensor.any():
            assert after[name].norm() < 0.7 * tensor.norm()


def test_numbers_in_json_are_the_classes_that_they_spell() -> None:
    stars = [Example(f"good {label}", label=label) for label in (1, 2, 3, 4, 5)]
    assert labels_in(stars) == ["1", "2", "3", "4", "5"]
    task = read_classes(stars, labels_in(stars), "training data")
    found = encode(stars, TOKENIZER, task, 24, "training data")
    assert [example.label for example in found] == [0, 1, 2, 3, 4]


def test_wrong_data_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    unlabelled = [Example("no label"), Example("none here")]
    cases: list[tuple[str, Callable[[], object]]] = [
        ("the training data: example 3: the model has no label 'mixed'",
         lambda: run(tmp_path / "out", training_examples=[*TRAINING[:2], Example("so so", label="mixed")])),
        ("the validation data: example 1: the model has no label '2'",
         lambda: run(tmp_path / "out", validation=[Example("so so", label="2")])),
        ("one class only", lambda: run(tmp_path / "out", training_examples=TRAINING[::2])),
        ("one class only, '0'", lambda: labels_in(TRAINING[::2])),
        ("has no labels", lambda: run(tmp_path / "out", training_examples=unlabelled)),
        ("has no labels", lambda: labels_in(unlabelled)),
        ("has no labels: its columns are text, y\nallowed: .* label or .* or class",
         lambda: labels_in([Example("a", columns=("text", "y"))])),
        ("validation data is empty", lambda: run(tmp_path / "out", validation=[])),
        ("regression is not trained", lambda: labels_in([Example("a", label="3.8"), TRAINING[0]])),
        ("several labels in a row", lambda: labels_in([Example("a", label={"toxic": "1"}), TRAINING[0]])),
        ("several labels in a row", lambda: labels_in([Example("a", label=["toxic"]), TRAINING[0]])),
        ("class 'rare' has one example",
         lambda: hold_out([*TRAINING, Example("odd", label="rare")], 0.1, seed=0)),
        ("cannot be split", lambda: hold_out(TRAINING[:4], 0.1, seed=0)),
    ]  # fmt: skip
    for message, call in cases:
        with pytest.raises(InputError, match=message):
            call()
    assert list(tmp_path.iterdir()) == []


def test_models_that_are_not_classifiers_of_one_label_are_refused(tmp_path: Path) -> None:
    regression = tiny_model(problem_type="regression", id2label={"0": "score"})
    several = tiny_model(problem_type="multi_label_classification")
    for model in (regression, several):
        with pytest.raises(InputError, match="is not trained here"):
            training.train(CONFIG, model, TOKENIZER, TRAINING, VALIDATION, tmp_path / "out")
    with pytest.raises(InputError, match="SqueezeBertForMaskedLM is not trained here"):
        model = tiny_model("SqueezeBertForMaskedLM")
        training.train(CONFIG, model, TOKENIZER, TRAINING, VALIDATION, tmp_path / "out")
    with pytest.raises(InputError, match="max_position_embeddings"):
        config = replace(CONFIG, max_length=65)
        training.train(config, tiny_model(), TOKENIZER, TRAINING, VALIDATION, tmp_path / "out")


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"warmup": 1.0}, {"dropout": 1.0},
     {"max_length": 3}, {"seed": -1}, {"device": "tpu"}, {"learning_rate": float("nan")}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        replace(CONFIG, **wrong)


def test_a_device_that_is_not_there_is_said(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(UnavailableError, match="no cuda device"):
        run(tmp_path / "out", replace(CONFIG, device="cuda"))


def test_the_verb_trains_from_scratch_and_fine_tunes(tmp_path: Path) -> None:
    data, dev = write_tsv(tmp_path / "t.tsv", TRAINING), write_tsv(tmp_path / "d.tsv", VALIDATION)
    size = ("--hidden-size", "64", "--layers", "1", "--vocab-size", "200", "--lr", "3e-3")
    done = train_verb(
        data, "--dev", dev, "--out", tmp_path / "a", *size, "--batch-size", "16", "--epochs", "8", "--json"
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.strip().split("\n")[-1])["accuracy"] >= 0.95
    done = train_verb(data, "--from", tmp_path / "a", "--out", tmp_path / "b", "--epochs", "1", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.strip().split("\n")[-1])
    assert (found["validation_examples"], found["best"]["epoch"]) == (17, 1)
    assert found["accuracy"] >= 0.9
    vocab = ("--vocab", tmp_path / "a" / "vocab.txt")
    done = train_verb(
        data, *vocab, "--out", tmp_path / "c", *size[:4], "--epochs", "1", "--labels", "sad,happy"
    )
    assert done.exit_code == 0, done.output
    assert load_checkpoint(tmp_path / "c").config.id2label == {0: "sad", 1: "happy"}


def test_the_verb_refuses_what_contradicts_itself(tmp_path: Path) -> None:
    data = write_tsv(tmp_path / "t.tsv", TRAINING)
    (tmp_path / "header.tsv").write_text("sentence\tlabel\n")
    (tmp_path / "columns.tsv").write_text("words\tlabel\na b\t1\n")
    (tmp_path / "exists").mkdir()
    out = ("--out", tmp_path / "out")
    cases: list[tuple[str, tuple[str | Path, ...]]] = [
        ("--from is given together", (data, *out, "--from", "CHECKPOINT", "--layers", "2")),
        ("both --vocab and --vocab-size", (data, *out, "--vocab", "v.txt", "--vocab-size", "100")),
        ("a header and no examples", (tmp_path / "header.tsv", *out)),
        ("no column of texts", (tmp_path / "columns.tsv", *out)),
        ("exists", (data, "--out", tmp_path / "exists", "--vocab-size", "200")),
        ("no training to resume", (data, *out, "--resume", "--vocab-size", "200")),
        ("does not divide", (data, *out, "--heads", "7", "--vocab-size", "200")),
        ("nothing to choose", (data, *out, "--labels", "one", "--vocab-size", "200")),
    ]
    for message, arguments in cases:
        done = train_verb(*arguments)
        assert isinstance(done.exception, InputError), (message, done.output)
        assert message in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_sst2_reads(shared: Path) -> None:
    assert labels_in(read_texts(shared / "data" / "sst2" / "dev.tsv")) == ["0", "1"]
