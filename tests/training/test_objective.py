"""A student comes nearer to its teacher than it would by the labels alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from exporters.errors import InputError
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.training.data import NO_LABEL
from squeezebert_edge.training.objective import Objective, pair_layers
from squeezebert_edge.training.teacher import Teacher, load_teacher
from tests.kit.teachers import BATCH, MASK, another, squeezebert
from tests.kit.tiny import tiny_model
from tests.kit.trained import (
    CONFIG,
    LABELS,
    SIZE,
    TOKENIZER,
    TRAINING,
    VALIDATION,
    distil,
    in_two_processes,
    run,
    same,
    stop_after,
    train_verb,
    weights,
    write_tsv,
)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher 64 wide with one layer."""
    out = tmp_path_factory.mktemp("teacher") / "teacher"
    run(out)
    return out


def test_attention_is_learned_from_heads_alike_and_labels_only_where_there_are_some() -> None:
    student, network = tiny_model(), tiny_model(seed=1)
    teacher = Teacher.of(network, TOKENIZER, "")
    plain = replace(CONFIG, temperature=1.0, teacher_weight=0.7, hidden_weight=0.0)
    unlabelled = replace(BATCH, labels=torch.tensor([0, NO_LABEL]))
    without = Objective(student, plain, teacher)(unlabelled)
    found = Objective(student, replace(plain, attention_weight=0.3), teacher)(unlabelled) - without
    for row, length in enumerate((5, 3)):
        ids = BATCH.input_ids[row : row + 1, :length]
        own, other = (model(ids, output_attentions=True) for model in (student, network))
        diverging = [
            (p * (p / q).log()).sum(3).mean()
            for p, q in (
                (theirs.softmax(3), ours.softmax(3))
                for ours, theirs in zip(own.attentions, other.attentions, strict=True)
            )
        ]
        torch.testing.assert_close(found[row], 0.3 * torch.stack(diverging).mean())
        likely, wanted = (model(ids).logits.softmax(1) for model in (student, network))
        labelled = -likely[0, 0].log() if row == 0 else 0.0
        torch.testing.assert_close(
            without[row], 0.3 * labelled + 0.7 * (wanted * (wanted / likely).log()).sum()
        )


def test_layers_are_paired_evenly() -> None:
    assert pair_layers(2, 2) == [(0, 0), (1, 1), (2, 2)]
    assert pair_layers(3, 12) == [(0, 0), (1, 4), (2, 8), (3, 12)]
    assert pair_layers(4, 6) == [(0, 0), (1, 2), (2, 3), (3, 5), (4, 6)]
    assert pair_layers(12, 4) == [(0, 0), (3, 1), (6, 2), (9, 3), (12, 4)]
    assert pair_layers(1, 1) == [(0, 0), (1, 1)]


def test_the_loss_is_what_its_parts_are() -> None:
    student, network = tiny_model(), tiny_model(seed=1, hidden_size=16, embedding_size=16)
    teacher = Teacher(network, [], "")
    config = replace(CONFIG, temperature=3.0, teacher_weight=0.7, hidden_weight=0.2)
    objective = Objective(student, config, teacher)
    found = objective(BATCH)
    for row, length in enumerate((5, 3)):
        ids, label = BATCH.input_ids[row : row + 1, :length], BATCH.labels[row : row + 1]
        own, other = (model(ids, output_hidden_states=True) for model in (student, network))
        labelled = F.cross_entropy(own.logits, label)
        likely, wanted = (F.softmax(each.logits / 3, dim=1) for each in (own, other))
        imitated = 9 * (wanted * (wanted / likely).log()).sum()
        hidden = torch.stack(
            [
                F.mse_loss(objective.projection(ours), theirs)
                for ours, theirs in zip(own.hidden_states, other.hidden_states, strict=True)
            ]
        ).mean()
        expected = 0.3 * labelled + 0.7 * imitated + 0.2 * hidden
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-5)


def distance(student: Path, teacher: Teacher) -> float:
    """The mean difference of the probabilities of a class."""
    model, differences = load_checkpoint(student).model, []
    for example in VALIDATION:
        ids = torch.tensor([TOKENIZER.encode(example.text, max_length=24).ids])
        with torch.no_grad():
            own, wanted = (F.softmax(each(ids).logits, 1)[0, 0] for each in (model, teacher.network))
        differences.append((own - wanted).abs().item())
    return sum(differences) / len(differences)


def test_a_student_comes_nearer_to_its_teacher(tmp_path: Path, taught: Path) -> None:
    """Which doubts more than the labels do."""
    teacher = load_teacher(taught)
    with torch.no_grad():
        for parameter in teacher.network.classifier.parameters():
            parameter.mul_(0.2)
    before = {name: tensor.clone() for name, tensor in teacher.network.state_dict().items()}
    config = replace(CONFIG, teacher_weight=1.0)
    alone = distil(tmp_path / "a", size=SIZE)
    imitating = distil(tmp_path / "b", config, size=SIZE, teacher=teacher)
    assert distance(imitating, teacher) < 0.5 * distance(alone, teacher)
    assert not teacher.network.training
    for name, tensor in teacher.network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_hidden_states_come_nearer_through_a_projection_that_is_dropped(tmp_path: Path, taught: Path) -> None:
    teacher = load_teacher(taught)
    config = replace(CONFIG, hidden_weight=0.0)
    errors = []
    for weight in (0.0, 5.0):
        out = distil(tmp_path / str(weight), replace(config, hidden_weight=weight), teacher=teacher)
        model = load_checkpoint(out).model
        assert not any("projection" in name for name in weights(out))
        with torch.no_grad():
            last = model(BATCH.input_ids, MASK, output_hidden_states=True).hidden_states[-1][MASK == 1]
            wanted = teacher(BATCH)[1][-1][MASK == 1]
        # What the best projection would leave: the last states of 8 tokens, relative to their mean.
        features = torch.cat([last, torch.ones(len(last), 1)], 1)
        best = torch.linalg.lstsq(features[:, :4], wanted).solution
        errors.append((features[:, :4] @ best - wanted).square().mean().item())
    assert errors[1] < errors[0]


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_other_models_teach(tmp_path: Path, kind: str) -> None:
    teacher = load_teacher(another(tmp_path / "t", kind))
    distil(tmp_path / "out", replace(CONFIG, epochs=1), teacher=teacher)
    assert load_checkpoint(tmp_path / "out").config.hidden_size == 32


@pytest.mark.parametrize("steps", [4, 15])
def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path: Path, taught: Path, steps: int) -> None:
    teacher, config = load_teacher(taught), replace(CONFIG, epochs=2, quantize="int8")
    whole = distil(tmp_path / "whole", config, teacher=teacher)
    with pytest.raises(KeyboardInterrupt):
        distil(tmp_path / "out", config, teacher=teacher, progress=stop_after(steps))
    other = load_teacher(squeezebert(tmp_path / "other"))
    for changed, seen in ((other, other.sha256), (None, None)):
        with pytest.raises(InputError, match=f"teacher: {seen}, was {teacher.sha256}"):
            distil(tmp_path / "out", config, teacher=changed, resume=True)
    assert same(whole, distil(tmp_path / "out", config, teacher=load_teacher(taught), resume=True))


SCRIPT = """
import sys
from pathlib import Path
from dataclasses import replace
from squeezebert_edge.training.teacher import load_teacher
from tests.kit.trained import CONFIG, distil

distil(Path(sys.argv[1]), replace(CONFIG, batch_size=32), teacher=load_teacher(sys.argv[2]))
"""


def test_two_processes_learn_what_one_does(tmp_path: Path, taught: Path) -> None:
    """161 examples in batches of 32: the last batch has one, which leaves the second process without any."""
    in_two_processes(SCRIPT, tmp_path, str(tmp_path / "two"), str(taught))
    one = distil(tmp_path / "one", replace(CONFIG, batch_size=32), teacher=load_teacher(taught))
    found = weights(tmp_path / "two")
    for name, expected in weights(one).items():
        torch.testing.assert_close(found[name], expected, atol=1e-3, rtol=1e-3)


def test_the_verb_takes_a_teacher(tmp_path: Path, taught: Path) -> None:
    data = write_tsv(tmp_path / "t.tsv", TRAINING)
    student = ("--vocab", taught / "vocab.txt", "--hidden-size", "32", "--layers", "1", "--max-length", "24")
    names = ("--labels", ",".join(LABELS))
    teacher = ("--teacher", taught, "--temperature", "3", "--hidden-weight", "0.5")
    done = train_verb(data, "--out", tmp_path / "out", *student, *names, *teacher, "--epochs", "1")
    assert done.exit_code == 0, done.output
    assert load_checkpoint(tmp_path / "out").config.hidden_size == 32

    for message, arguments in (
        ("the teacher's labels are negative, positive, the student's 0, 1", (*student, *teacher)),
        ("is not the student's", ("--vocab-size", "60", "--max-length", "24", *names, *teacher)),
        ("and no teacher", (*student, *teacher[2:])),
    ):
        done = train_verb(data, "--out", tmp_path / "never", *arguments)
        assert isinstance(done.exception, InputError), done.output
        assert message in str(done.exception)
    assert not (tmp_path / "never").exists()
