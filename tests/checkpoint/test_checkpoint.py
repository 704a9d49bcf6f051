"""What is loaded is what transformers loads; what is not sound is refused, all of it at once."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from exporters.errors import InputError
from squeezebert_edge.checkpoint import weights
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint, resources, save_checkpoint
from squeezebert_edge.checkpoint.task import task_of
from squeezebert_edge.model.heads import ARCHITECTURES
from squeezebert_edge.text.tokenizer import Tokenizer
from tests.kit.small import VOCABULARY
from tests.kit.tiny import tiny_config, tiny_model

HEADS = [name for name in ARCHITECTURES if name != "SqueezeBertModel"]
CLASSIFIER = "SqueezeBertForSequenceClassification"
MASKED_LM = "SqueezeBertForMaskedLM"
EMBEDDINGS = "transformer.embeddings.word_embeddings.weight"
DECODER = "cls.predictions.decoder.weight"

ONE_LABEL = "config.json has one label and no problem_type"

Change = Callable[[dict[str, Tensor]], Any]


def reference(architecture: str, seed: int = 0, **overrides: Any) -> nn.Module:
    """transformers' own tiny model."""
    import transformers

    torch.manual_seed(seed)
    fields = {key: value for key, value in tiny_config().to_dict().items() if key != "architectures"}
    model = getattr(transformers, architecture)(transformers.SqueezeBertConfig(**fields | overrides))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model.eval()  # type: ignore[no-any-return]


def saved_by_transformers(directory: Path, architecture: str, seed: int = 0, **overrides: Any) -> nn.Module:
    model = reference(architecture, seed, **overrides)
    model.save_pretrained(directory)  # type: ignore[operator]
    Tokenizer(VOCABULARY).save(directory)
    return model


def outputs(model: nn.Module) -> list[Tensor]:
    """Two rows, the second padded, as every architecture takes them."""
    ids = torch.randint(5, 90, (2, 12), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(12) < torch.tensor([[12], [7]])).long()
    types = (torch.arange(12) > 5).long().expand(2, -1)
    inputs = [ids, mask, types]
    if type(model).__name__ == "SqueezeBertForMultipleChoice":
        inputs = [tensor[None] for tensor in inputs]
    with torch.inference_mode():
        return [output for output in model(*inputs, return_dict=False) if isinstance(output, Tensor)]


def assert_same(ours: nn.Module, theirs: nn.Module) -> None:
    for own, other in zip(outputs(ours), outputs(theirs), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A sound checkpoint: a classifier of two labels."""
    saved_by_transformers(tmp_path / "checkpoint", CLASSIFIER)
    return tmp_path / "checkpoint"


def change(directory: Path, edit: Change) -> Path:
    """Edit a checkpoint's weights in place."""
    file = directory / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    edit(tensors)
    save_file(tensors, file)
    return directory


def configure(directory: Path, **values: Any) -> Path:
    """Edit a checkpoint's config.json in place; None removes a key."""
    file = directory / "config.json"
    config = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return directory


def rename(tensors: dict[str, Tensor], new_name: Callable[[str], str]) -> None:
    for name in list(tensors):
        tensors[new_name(name)] = tensors.pop(name)


def refusal(directory: Path | str, **arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        load_checkpoint(directory, **arguments)
    return str(caught.value)


# --- What transformers wrote ----------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gives_what_transformers_gives(tmp_path: Path, architecture: str) -> None:
    theirs = saved_by_transformers(tmp_path, architecture)
    asked = architecture if architecture == "SqueezeBertModel" else None
    loaded = load_checkpoint(tmp_path, architecture=asked)
    assert type(loaded.model) is ARCHITECTURES[architecture]
    assert loaded.config.architectures == [architecture]
    assert loaded.accepted == ()
    assert loaded.source == str(tmp_path)
    assert not any(module.training for module in loaded.model.modules())
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())
    assert_same(loaded.model, theirs)


@pytest.mark.parametrize(
    ("outputs", "label", "note"),
    [
        (1, torch.tensor([0.5]), f"{ONE_LABEL}: the output is a number (regression)"),
        (3, torch.tensor([2]), None),
    ],
)
def test_what_a_silent_config_means_is_what_transformers_takes_it_for(
    tmp_path: Path, outputs: int, label: Tensor, note: str | None
) -> None:
    theirs = saved_by_transformers(tmp_path, CLASSIFIER, num_labels=outputs)
    assert json.loads((tmp_path / "config.json").read_text()).get("problem_type") is None
    theirs(torch.tensor([[5, 6]]), labels=label)  # transformers decides when it first sees a label
    loaded = load_checkpoint(tmp_path)
    assert task_of(loaded).problem_type == theirs.config.problem_type
    assert loaded.accepted == (() if note is None else (note,))


@pytest.mark.parametrize("act", ["prelu", "xielu"])
def test_reads_activations_that_carry_parameters(tmp_path: Path, act: str) -> None:
    theirs = saved_by_transformers(tmp_path, MASKED_LM, hidden_act=act)
    assert_same(load_checkpoint(tmp_path).model, theirs.float())


def test_unequal_groups_and_untied_decoder(tmp_path: Path) -> None:
    sizes = {"q_groups": 2, "k_groups": 1, "output_groups": 8, "tie_word_embeddings": False}
    theirs = saved_by_transformers(tmp_path, MASKED_LM, **sizes)
    loaded = load_checkpoint(tmp_path)
    assert_same(loaded.model, theirs)
    state = loaded.model.state_dict(keep_vars=True)
    assert state[DECODER] is not state[EMBEDDINGS]


def test_tied_weights_are_one_parameter(tmp_path: Path) -> None:
    saved_by_transformers(tmp_path, MASKED_LM)
    state = load_checkpoint(tmp_path).model.state_dict(keep_vars=True)
    assert state[DECODER] is state[EMBEDDINGS]
    assert state["cls.predictions.decoder.bias"] is state["cls.predictions.bias"]


def test_sharded(tmp_path: Path) -> None:
    theirs = reference(MASKED_LM)
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")  # type: ignore[operator]
    Tokenizer(VOCABULARY).save(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert_same(load_checkpoint(tmp_path).model, theirs)


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_model_bin(directory: Path, zipped: bool) -> None:
    """The layout of the published SqueezeBERT checkpoints, in both formats that torch has had."""
    wanted = load_checkpoint(directory).model
    state = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    torch.save(state, directory / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert_same(load_checkpoint(directory).model, wanted)


def test_sharded_bin(directory: Path) -> None:
    wanted = load_checkpoint(directory).model
    state = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    where = {}
    for part in range(3):
        shard = f"pytorch_model-{part + 1:05}-of-00003.bin"
        torch.save({name: state[name] for name in list(state)[part::3]}, directory / shard)
        where |= dict.fromkeys(list(state)[part::3], shard)
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))
    assert_same(load_checkpoint(directory).model, wanted)


def test_a_weight_file_stands_for_its_directory(directory: Path) -> None:
    wanted = load_checkpoint(directory)
    other = directory / "best.safetensors"
    shutil.copy(directory / "model.safetensors", other)
    (directory / "model.safetensors").unlink()
    loaded = load_checkpoint(str(other))
    assert_same(loaded.model, wanted.model)
    assert (loaded.source, loaded.sha256) == (str(other), wanted.sha256)


def test_weights_do_not_change_with_the_file(directory: Path) -> None:
    loaded = load_checkpoint(directory)
    before = outputs(loaded.model)
    with (directory / "model.safetensors").open("r+b") as file:
        file.seek(2000)
        file.write(bytes(20000))
    torch.testing.assert_close(outputs(loaded.model), before, rtol=0, atol=0)


def test_loading_draws_no_random_numbers(directory: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_checkpoint(directory)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_embedded_model_has_a_name(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(directory, tmp_path / "package" / "assets" / "default")
    monkeypatch.setattr(resources, "files", lambda _: tmp_path / "package")
    loaded = load_checkpoint("default")
    assert loaded.source == "default"
    assert loaded.sha256 == load_checkpoint(directory).sha256


def test_a_real_checkpoint(shared: Path) -> None:
    checkpoint = shared / "checkpoints" / "squeezebert-medium-sst2"
    loaded = load_checkpoint(checkpoint)
    assert loaded.accepted == ("105 weights stored as float16: loaded as float32",)
    assert [loaded.config.id2label[index] for index in (0, 1)] == ["negative", "positive"]
    known = np.load(checkpoint / "sst2_dev_reference.npz")
    with torch.inference_mode():
        for row, length, logits in zip(
            known["input_ids"][:64], known["lengths"], known["logits"], strict=False
        ):
            ids = torch.from_numpy(row[None, :length]).long()
            (found,) = loaded.model(ids, torch.ones_like(ids), return_dict=False)
            np.testing.assert_allclose(found[0].numpy(), logits, atol=1e-4)


@pytest.mark.slow
def test_the_full_size_takes_its_own_memory_once(tmp_path: Path) -> None:
    config = tiny_config(
        vocab_size=30528, hidden_size=768, embedding_size=768, num_hidden_layers=12, num_attention_heads=12,
        intermediate_size=3072, max_position_embeddings=512,
    )  # fmt: skip
    save_checkpoint(
        tmp_path / "full",
        config=config,
        model=ARCHITECTURES[MASKED_LM](config),
        tokenizer=Tokenizer(VOCABULARY),
    )
    code = (
        "import resource, sys, time, torch\n"
        "from squeezebert_edge.checkpoint.checkpoint import load_checkpoint as load\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before, start = peak(), time.process_time()\n"
        "model = load(sys.argv[1]).model\n"
        "print(peak() - before, time.process_time() - start)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "full"], capture_output=True, text=True, check=True
    )
    grown, seconds = map(float, done.stdout.split())
    size = (tmp_path / "full" / "model.safetensors").stat().st_size
    assert grown < 2.5 * size  # the weights, and the mapped file they are copied from
    assert seconds < 5


# --- Departures that are accepted, and named ------------------------------------------------------------


def test_position_ids(directory: Path) -> None:
    change(directory, lambda t: t.update({"transformer.embeddings.position_ids": torch.arange(64)[None]}))
    (accepted,) = load_checkpoint(directory).accepted
    assert "position_ids" in accepted


def test_position_ids_that_do_not_count_are_refused(directory: Path) -> None:
    change(directory, lambda t: t.update({"transformer.embeddings.position_ids": torch.zeros(1, 64)}))
    assert "position_ids is not 0 to 63" in refusal(directory)


def test_gamma_and_beta(directory: Path) -> None:
    wanted = load_checkpoint(directory).model

    def older(name: str) -> str:
        if "layernorm" not in name.lower():
            return name
        return name.replace(".weight", ".gamma").replace(".bias", ".beta")

    change(directory, lambda t: rename(t, older))
    loaded = load_checkpoint(directory)
    assert loaded.accepted == ("10 weights of LayerNorms called gamma or beta: taken as weight and bias",)
    assert_same(loaded.model, wanted)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "net.model."])
def test_one_prefix_of_all_names_is_left_out(directory: Path, prefix: str) -> None:
    theirs = load_checkpoint(directory).model
    change(directory, lambda t: rename(t, lambda name: prefix + name))
    loaded = load_checkpoint(directory)
    assert loaded.accepted == (f"all weights' names begin with '{prefix}': it is left out",)
    assert_same(loaded.model, theirs)


def test_a_prefix_of_some_names_is_none(directory: Path) -> None:
    change(directory, lambda t: t.update({"module.classifier.bias": t.pop("classifier.bias")}))
    message = refusal(directory)
    assert "1 missing: classifier.bias" in message
    assert "1 not expected: module.classifier.bias" in message


def test_a_base_model_without_its_prefix(directory: Path) -> None:
    wanted = load_checkpoint(directory).model
    change(directory, lambda t: rename(t, lambda name: name.removeprefix("transformer.")))
    loaded = load_checkpoint(directory)
    assert loaded.accepted == ("39 weights of the base model without its prefix 'transformer.'",)
    assert_same(loaded.model, wanted)


def test_the_bare_model_out_of_a_model_with_a_head(directory: Path) -> None:
    loaded = load_checkpoint(directory, architecture="SqueezeBertModel")
    assert loaded.accepted == (
        "2 weights of a classification head, which was not asked for (classifier.*): left out",
    )
    assert_same(loaded.model, load_checkpoint(directory).model.base_model)


def test_heads_that_are_not_asked_for(tmp_path: Path) -> None:
    """As squeezebert-uncased has them: the masked-LM head's weights and the sentence-order head's."""
    theirs = saved_by_transformers(tmp_path, MASKED_LM)
    sentence_order = {
        "cls.seq_relationship.weight": torch.zeros(2, 32),
        "cls.seq_relationship.bias": torch.zeros(2),
    }
    change(tmp_path, lambda t: t.update(sentence_order))
    loaded = load_checkpoint(tmp_path)
    assert loaded.accepted == (
        "2 weights of a sentence-order head, which was not asked for (cls.seq_relationship.*): left out",
    )
    assert_same(loaded.model, theirs)


def test_tied_copies_that_are_equal(tmp_path: Path) -> None:
    theirs = saved_by_transformers(tmp_path, MASKED_LM)
    bias = "cls.predictions.decoder.bias"
    change(
        tmp_path,
        lambda t: t.update({DECODER: t[EMBEDDINGS].clone(), bias: t["cls.predictions.bias"].clone()}),
    )
    loaded = load_checkpoint(tmp_path)
    assert loaded.accepted == (
        f"{DECODER} is stored again, equal to {EMBEDDINGS}",
        f"{bias} is stored again, equal to cls.predictions.bias",
    )
    assert_same(loaded.model, theirs)


def test_a_tied_weight_under_its_other_name(tmp_path: Path) -> None:
    theirs = saved_by_transformers(tmp_path, MASKED_LM)
    change(tmp_path, lambda t: rename(t, lambda name: DECODER if name == EMBEDDINGS else name))
    assert_same(load_checkpoint(tmp_path).model, theirs)


def test_tied_copies_that_are_not_equal_are_refused(tmp_path: Path) -> None:
    saved_by_transformers(tmp_path, MASKED_LM)
    change(tmp_path, lambda t: t.update({DECODER: t[EMBEDDINGS] + 1}))
    message = refusal(tmp_path)
    assert "tied, but not equal" in message
    assert DECODER in message
    assert "tie_word_embeddings" in message


@pytest.mark.parametrize(
    ("dtype", "word"), [(torch.float16, "float16"), (torch.bfloat16, "bfloat16"), (torch.float64, "float64")]
)
def test_other_floats_become_float32(directory: Path, dtype: torch.dtype, word: str) -> None:
    change(directory, lambda t: t.update({name: tensor.to(dtype) for name, tensor in t.items()}))
    stored = load_file(directory / "model.safetensors")
    loaded = load_checkpoint(directory)
    assert loaded.accepted == (f"41 weights stored as {word}: loaded as float32",)
    state = loaded.model.state_dict()
    assert all(torch.equal(state[name], tensor.float()) for name, tensor in stored.items())


def test_a_pad_token_id_of_its_own_is_noted(directory: Path) -> None:
    (accepted,) = load_checkpoint(configure(directory, pad_token_id=3)).accepted
    assert accepted == "config.json's pad_token_id is 3; padding uses the vocabulary's, 0"


# --- Weights that do not fit ------------------------------------------------------------------------------


def test_everything_wrong_is_listed_at_once(directory: Path) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        del tensors["transformer.pooler.dense.bias"]
        del tensors["classifier.bias"]
        tensors["transformer.encoder.layers.2.output.conv1d.bias"] = torch.zeros(32)
        tensors["lm_head.weight"] = torch.zeros(3)
        tensors["transformer.encoder.layers.0.attention.query.weight"] = torch.zeros(32, 32, 1)

    message = refusal(change(directory, spoil))
    assert f"{directory / 'model.safetensors'} does not fit {CLASSIFIER}" in message
    assert "2 missing: transformer.pooler.dense.bias, classifier.bias" in message
    assert "2 not expected: " in message
    assert "lm_head.weight" in message
    assert "layers.2.output.conv1d.bias" in message
    assert (
        "layers.0.attention.query.weight is (32, 32, 1), config.json wants (32, 8, 1) (q_groups: 4)"
        in message
    )


def test_a_long_list_is_cut(directory: Path) -> None:
    change(directory, lambda t: t.update({f"other.{number}": torch.zeros(1) for number in range(30)}))
    message = refusal(directory)
    assert "30 not expected: " in message
    assert message.endswith("correct config.json")
    assert "and 10 more" in message


def test_one_weight_under_two_names(directory: Path) -> None:
    name = "transformer.embeddings.LayerNorm"
    change(directory, lambda t: t.update({f"{name}.gamma": torch.ones(32)}))
    assert f"doubled: {name}.weight is there under two names" in refusal(directory)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        (EMBEDDINGS, (118, 32), "(118, 32), config.json wants (120, 32) (vocab_size: 120)"),
        ("classifier.weight", (3, 32), "(3, 32), config.json wants (2, 32) (id2label: 2 labels)"),
        (
            "transformer.embeddings.position_embeddings.weight",
            (512, 32),
            "(512, 32), config.json wants (64, 32) (max_position_embeddings: 64)",
        ),
        (
            "transformer.embeddings.token_type_embeddings.weight",
            (1, 32),
            "(1, 32), config.json wants (2, 32) (type_vocab_size: 2)",
        ),
        (
            "transformer.pooler.dense.weight",
            (32, 16),
            "(32, 16), config.json wants (32, 32) (hidden_size: 32)",
        ),
    ],
)
def test_a_shape_is_explained_by_the_config(
    directory: Path, name: str, shape: tuple[int, ...], words: str
) -> None:
    change(directory, lambda t: t.update({name: torch.zeros(shape)}))
    assert f"1 misshapen: {name} is {words}" in refusal(directory)


def test_numbers_that_are_not_finite(directory: Path) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors["classifier.weight"][0, 3] = float("nan")
        tensors["transformer.pooler.dense.bias"][:2] = float("inf")

    message = refusal(change(directory, spoil))
    assert "classifier.weight: 1 NaN and 0 infinite of 64 values" in message
    assert "transformer.pooler.dense.bias: 0 NaN and 2 infinite of 32 values" in message


def test_large_finite_numbers_are_no_fault(directory: Path) -> None:
    change(directory, lambda t: t["classifier.weight"].fill_(3e38))
    assert load_checkpoint(directory).model.classifier.weight.max() == 3e38


def test_numbers_that_overflow_float32(directory: Path) -> None:
    change(directory, lambda t: t.update({"classifier.bias": torch.tensor([1e300, 0], dtype=torch.float64)}))
    assert "classifier.bias: 0 NaN and 1 infinite" in refusal(directory)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_numbers_of_another_kind(directory: Path, dtype: torch.dtype) -> None:
    change(directory, lambda t: t.update({"classifier.bias": torch.zeros(2).to(dtype)}))
    assert f"classifier.bias is {str(dtype).removeprefix('torch.')}" in refusal(directory)


def test_an_unused_head_may_be_anything(directory: Path) -> None:
    """Only what is loaded has to be sound."""
    change(directory, lambda t: t.update({"qa_outputs.bias": torch.tensor([float("nan"), 1])}))
    assert load_checkpoint(directory).accepted == (
        "1 weight of a question-answering head, which was not asked for (qa_outputs.*): left out",
    )


def test_a_question_answering_head_of_three(tmp_path: Path) -> None:
    saved_by_transformers(tmp_path, "SqueezeBertForQuestionAnswering")
    configure(tmp_path, id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})
    assert "3" in refusal(tmp_path)


# --- Heads --------------------------------------------------------------------------------------------------


@pytest.fixture
def headless(directory: Path) -> Path:
    """As squeezebert-mnli-headless is: a classifier's config and base, and no classifier."""
    return change(directory, lambda t: [t.pop(name) for name in ("classifier.weight", "classifier.bias")])


def test_a_headless_checkpoint_is_refused_with_the_reason(headless: Path) -> None:
    message = refusal(headless)
    assert "has no head for SqueezeBertForSequenceClassification: it holds no weights classifier.*" in message
    assert "squeezebert-edge train" in message
    assert "SqueezeBertModel" in message


def test_a_headless_checkpoint_gets_a_head_to_train(headless: Path) -> None:
    torch.manual_seed(3)
    loaded = load_checkpoint(headless, for_training=True)
    assert loaded.accepted == (
        "the head of SqueezeBertForSequenceClassification is new, to be trained: "
        "it holds no weights classifier.*",
    )
    classifier = loaded.model.classifier
    assert 0 < classifier.weight.std() < 0.05  # initializer_range
    assert not classifier.bias.any()
    base = load_checkpoint(headless, architecture="SqueezeBertModel").model
    assert_same(loaded.model.base_model, base)
    torch.manual_seed(3)
    assert torch.equal(
        load_checkpoint(headless, for_training=True).model.classifier.weight, classifier.weight
    )


@pytest.mark.parametrize("architecture", HEADS)
def test_any_head_can_be_put_on_a_bare_model(tmp_path: Path, architecture: str) -> None:
    theirs = saved_by_transformers(tmp_path, "SqueezeBertModel")
    loaded = load_checkpoint(tmp_path, architecture=architecture, for_training=True)
    assert type(loaded.model) is ARCHITECTURES[architecture]
    assert loaded.config.architectures == [architecture]
    assert "is new, to be trained" in loaded.accepted[-1]
    assert_same(loaded.model.base_model, theirs)
    if architecture == MASKED_LM:
        state = loaded.model.state_dict(keep_vars=True)
        assert state[DECODER] is state[EMBEDDINGS]


def test_half_a_head_is_not_made_whole(directory: Path) -> None:
    change(directory, lambda t: t.pop("classifier.bias"))
    assert "1 missing: classifier.bias" in refusal(directory, for_training=True)


def test_a_checkpoint_of_the_bare_model_says_so(tmp_path: Path) -> None:
    saved_by_transformers(tmp_path, "SqueezeBertModel")
    for arguments in ({}, {"for_training": True}):
        message = refusal(tmp_path, **arguments)
        assert "names SqueezeBertModel" in message
        assert "no head at all" in message
        assert all(name in message for name in ARCHITECTURES)


def test_a_config_that_names_no_architecture(directory: Path) -> None:
    configure(directory, architectures=None)
    message = refusal(directory)
    assert "names none, and the weights are those of a classification head" in message
    assert all(name in message for name in ARCHITECTURES)
    assert load_checkpoint(directory, architecture=CLASSIFIER).config.architectures == [CLASSIFIER]


def test_architectures_that_do_not_exist(directory: Path) -> None:
    assert "there is no architecture 'BertModel'" in refusal(directory, architecture="BertModel")
    configure(directory, architectures=["SqueezeBertForPreTraining"])
    assert "names SqueezeBertForPreTraining" in refusal(directory)


@pytest.mark.parametrize("other", ["SqueezeBertForTokenClassification", "SqueezeBertForMultipleChoice"])
def test_another_tasks_classifier_is_not_taken_for_this_one(directory: Path, other: str) -> None:
    """The three classifiers' weights have the same names, and two of them the same shapes."""
    assert f"its weights classifier.* are those of {CLASSIFIER}" in refusal(directory, architecture=other)
    loaded = load_checkpoint(directory, architecture=other, for_training=True)
    assert (
        loaded.accepted[0]
        == "2 weights of a classification head, which was not asked for (classifier.*): left out"
    )
    assert "is new" in loaded.accepted[1]


def test_new_labels_get_a_new_head(directory: Path) -> None:
    trained = load_checkpoint(directory).model
    loaded = load_checkpoint(directory, for_training=True, labels=["bad", "good", "neither"])
    assert loaded.config.id2label == {0: "bad", 1: "good", 2: "neither"}
    assert loaded.config.label2id == {"bad": 0, "good": 1, "neither": 2}
    assert loaded.config.problem_type is None
    assert loaded.model.classifier.weight.shape == (3, 32)
    assert "its labels are LABEL_0, LABEL_1, not bad, good, neither" in loaded.accepted[-1]
    assert_same(loaded.model.base_model, trained.base_model)


def test_the_same_labels_keep_the_head(directory: Path) -> None:
    loaded = load_checkpoint(directory, for_training=True, labels=["LABEL_0", "LABEL_1"])
    assert loaded.accepted == ()
    assert_same(loaded.model, load_checkpoint(directory).model)


def test_labels_that_cannot_be(directory: Path) -> None:
    assert "not to be trained" in refusal(directory, labels=["a", "b"])
    answers = {"architecture": "SqueezeBertForQuestionAnswering", "for_training": True}
    assert "has no labels of its own" in refusal(directory, labels=["a", "b"], **answers)
    assert "labels that differ" in refusal(directory, labels=["a", "a"], for_training=True)


# --- Directories, configs and vocabularies ------------------------------------------------------------------


@pytest.mark.parametrize(
    "source", ["missing", "./missing/one", "../missing", "/missing/one", "a/b/c", "", "~x/y"]
)
def test_a_path_that_is_not_there_is_no_hub_id(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("squeezebert_edge.checkpoint.hub.fetch", lambda *_: pytest.fail("asked the hub"))
    message = refusal(source)
    assert f"{source!r} is not a directory" in message
    assert "owner/name" in message


@pytest.mark.parametrize("source", ["out/model.safetensors", "out/pytorch_model.bin"])
def test_a_weight_file_that_is_not_there_is_no_hub_id(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squeezebert_edge.checkpoint.hub.fetch", lambda *_: pytest.fail("asked the hub"))
    assert "is not a directory" in refusal(source)


def test_a_path_object_is_no_hub_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squeezebert_edge.checkpoint.hub.fetch", lambda *_: pytest.fail("asked the hub"))
    assert "is not a directory" in refusal(Path("owner/name"))


def test_a_hub_id_is_fetched(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(repository: str, revision: str | None) -> Path:
        asked.append((repository, revision))
        return directory

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("squeezebert_edge.checkpoint.hub.fetch", fetch)
    assert load_checkpoint("squeezebert/squeezebert-uncased").source == "squeezebert/squeezebert-uncased"
    assert load_checkpoint("owner/na.me-1@refs/pr/7").source == "owner/na.me-1@refs/pr/7"
    assert asked == [("squeezebert/squeezebert-uncased", None), ("owner/na.me-1", "refs/pr/7")]


def test_a_directory_goes_before_a_hub_id_of_its_name(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(directory, tmp_path / "owner" / "name@1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("squeezebert_edge.checkpoint.hub.fetch", lambda *_: pytest.fail("asked the hub"))
    assert load_checkpoint("owner/name@1").source == "owner/name@1"


def test_a_directory_without_weights(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "tf_model.h5")
    message = refusal(directory)
    assert "has no weights: it holds config.json" in message
    assert "tf_model.h5" in message
    assert "pytorch_model.bin" in message


def test_an_adapter_says_what_it_is(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    message = refusal(directory)
    assert "is an adapter (PEFT)" in message
    assert f"PeftModel.from_pretrained(MODEL, {str(directory)!r}).merge_and_unload()" in message


def test_an_adapter_beside_weights_is_not_left_out(directory: Path) -> None:
    (directory / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    message = refusal(directory)
    assert "has an adapter (PEFT) beside weights" in message
    assert "remove adapter_config.json there if it is merged already" in message


def test_the_folder_of_a_run_names_its_checkpoints(directory: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for step in (500, 1500, 60):
        shutil.copytree(directory, run / f"checkpoint-{step}")
    (run / "runs").mkdir()
    message = refusal(run)
    assert "it holds checkpoints, checkpoint-1500, checkpoint-500, checkpoint-60" in message
    named = re.search("such as the last, (.*)", message)
    assert named is not None
    assert named[1] == str(run / "checkpoint-1500")
    assert_same(load_checkpoint(named[1]).model, load_checkpoint(directory).model)


def test_a_file_that_is_no_weight_file(directory: Path) -> None:
    message = refusal(directory / "config.json")
    assert "is not a weight file" in message
    assert "*.safetensors" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "a JSON object"),
        ('{"model_type": "distilbert"}', "another architecture"),
        ('{"model_type": "bert"}', "squeezebert-edge convert DIRECTORY --data TRAIN_TSV --out OUT"),
        ("{}", "model_type"),
    ],
)
def test_configs_that_are_none(directory: Path, content: str | None, words: str) -> None:
    file = directory / "config.json"
    file.unlink()
    if content is not None:
        file.write_text(content)
    message = refusal(directory)
    assert words in message
    assert str(file) in message


def test_a_checkpoint_without_vocabulary(directory: Path) -> None:
    (directory / "vocab.txt").unlink()
    assert "has no vocabulary" in refusal(directory)


def test_a_vocabulary_larger_than_the_model(directory: Path) -> None:
    words = [*VOCABULARY, *(f"word{number}" for number in range(121 - len(VOCABULARY)))]
    Tokenizer(words).save(directory)
    message = refusal(directory)
    assert "the vocabulary has 121 words, but config.json's vocab_size is 120" in message
    Tokenizer(words[:120]).save(directory)
    assert load_checkpoint(directory).accepted == ()


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """The superuser reads everything; take on another user's rights."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors", "."])
def test_files_that_may_not_be_read(unprivileged: None, name: str) -> None:
    with tempfile.TemporaryDirectory() as place:  # tmp_path may belong to another user now
        readable = Path(place, "checkpoint")
        save_checkpoint(readable, **pieces())
        (readable / name).chmod(0)
        message = refusal(readable)
        (readable / name).chmod(0o700)
    assert "cannot be read: Permission denied" in message


# --- sha256 -------------------------------------------------------------------------------------------------


def test_the_hash_is_of_what_was_read(directory: Path) -> None:
    expected = hashlib.sha256()
    flags = json.dumps(Tokenizer(VOCABULARY).flags.to_manifest(), sort_keys=True).encode()
    parts = {
        "config": (directory / "config.json").read_bytes(),
        "weights": (directory / "model.safetensors").read_bytes(),
        "vocabulary": "".join(f"{word}\n" for word in VOCABULARY).encode(),
        "tokenizer": flags,
    }
    for name, content in parts.items():
        expected.update(f"{name} {len(content)}\n".encode() + content)
    assert load_checkpoint(directory).sha256 == expected.hexdigest()


def test_the_hash_follows_content_and_nothing_else(directory: Path, tmp_path: Path) -> None:
    first = load_checkpoint(directory).sha256
    moved = tmp_path / "elsewhere"
    shutil.copytree(directory, moved)
    (moved / "README.md").write_text("a note")
    (moved / "training_args.bin").write_bytes(b"junk")
    assert load_checkpoint(moved).sha256 == first
    assert load_checkpoint(moved, architecture="SqueezeBertModel").sha256 == first
    assert load_checkpoint(moved, for_training=True, labels=["a", "b", "c"]).sha256 == first
    changes: list[Callable[[Path], object]] = [
        lambda d: configure(d, note="x"),
        lambda d: change(d, lambda t: t["classifier.bias"].add_(1)),
        lambda d: Tokenizer([*VOCABULARY, "more"]).save(d),
        lambda d: (d / "tokenizer_config.json").write_text('{"do_lower_case": false}'),
    ]
    seen = {first}
    for edit in changes:
        shutil.rmtree(moved)
        shutil.copytree(directory, moved)
        edit(moved)
        seen.add(load_checkpoint(moved).sha256)
    assert len(seen) == 1 + len(changes)


# --- Saving -------------------------------------------------------------------------------------------------


def pieces(architecture: str = CLASSIFIER, **overrides: Any) -> dict[str, Any]:
    model = tiny_model(architecture, **overrides)
    return {"config": model.config, "model": model, "tokenizer": Tokenizer(VOCABULARY)}


@pytest.mark.parametrize(
    ("architecture", "tied"), [*((name, True) for name in ARCHITECTURES), (MASKED_LM, False)]
)
def test_transformers_loads_what_is_saved(tmp_path: Path, architecture: str, tied: bool) -> None:
    import transformers

    given = pieces(architecture, tie_word_embeddings=tied, id2label={"0": "no", "1": "yes"}, note="kept")
    save_checkpoint(tmp_path / "saved", **given)
    theirs, info = getattr(transformers, architecture).from_pretrained(
        tmp_path / "saved", output_loading_info=True
    )
    assert not any(info.values()), info
    assert theirs.config.id2label == {0: "no", 1: "yes"}
    assert theirs.config.note == "kept"
    assert theirs.dtype == torch.float32
    assert_same(given["model"], theirs.eval())
    ours = load_checkpoint(tmp_path / "saved", architecture=architecture)
    assert ours.accepted == ()
    assert ours.config == given["model"].config.__class__.from_file(tmp_path / "saved" / "config.json")
    assert_same(ours.model, given["model"])
    stored = load_file(tmp_path / "saved" / "model.safetensors")
    assert (DECODER in stored) == (architecture == MASKED_LM and not tied)


def test_transformers_reads_the_tokenizer(tmp_path: Path) -> None:
    import transformers

    given = pieces()
    save_checkpoint(tmp_path / "saved", **given)
    text = "The FOOD is good, ing-ed!"
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")(text).input_ids
    assert theirs == given["tokenizer"].encode(text, max_length=64).ids


def test_half_the_size_in_float16(tmp_path: Path) -> None:
    given = pieces()
    save_checkpoint(tmp_path / "full", **given)
    save_checkpoint(tmp_path / "half", **given, dtype=torch.float16)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "float16"
    loaded = load_checkpoint(tmp_path / "half")
    assert loaded.accepted == ("41 weights stored as float16: loaded as float32",)
    state = given["model"].state_dict()
    assert all(
        torch.equal(tensor, state[name].half().float()) for name, tensor in loaded.model.state_dict().items()
    )
    assert json.loads((tmp_path / "full" / "config.json").read_text())["dtype"] == "float32"


def test_weights_that_cannot_be_saved(tmp_path: Path) -> None:
    given = pieces()
    with torch.no_grad():
        given["model"].classifier.bias[0] = 1e5
    with pytest.raises(InputError, match=r"not every weight is finite as torch.float16: classifier.bias"):
        save_checkpoint(tmp_path / "half", **given, dtype=torch.float16)
    with pytest.raises(InputError, match="cannot be saved as torch.bfloat16"):
        save_checkpoint(tmp_path / "half", **given, dtype=torch.bfloat16)
    with torch.no_grad():
        given["model"].classifier.bias[0] = float("nan")
    with pytest.raises(InputError, match=r"classifier\.bias"):
        save_checkpoint(tmp_path / "full", **given)
    assert not list(tmp_path.iterdir())


def test_the_models_own_config_is_left_alone(tmp_path: Path) -> None:
    given = pieces()
    before = given["config"].to_dict()
    save_checkpoint(tmp_path / "saved", **given)
    assert given["config"].to_dict() == before


def test_files_are_readable_by_others(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "saved", **pieces())
    modes = {file.name: file.stat().st_mode & 0o444 for file in (tmp_path / "saved").iterdir()}
    assert set(modes.values()) == {0o444}, modes


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "saved", **pieces())
    before = load_checkpoint(tmp_path / "saved").sha256
    other = pieces(seed=1)
    with pytest.raises(InputError, match=r"saved exists"):
        save_checkpoint(tmp_path / "saved", **other)
    assert load_checkpoint(tmp_path / "saved").sha256 == before
    save_checkpoint(tmp_path / "saved", **other, force=True)
    assert load_checkpoint(tmp_path / "saved").sha256 != before
    assert [entry.name for entry in tmp_path.iterdir()] == ["saved"]


def test_force_replaces_only_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(InputError, match="not a directory with config.json"):
        save_checkpoint(tmp_path / "thesis", **pieces(), force=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("force", [False, True])
def test_a_failure_leaves_things_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, force: bool
) -> None:
    if force:
        save_checkpoint(tmp_path / "saved", **pieces())
    before = {entry: entry.stat().st_mtime_ns for entry in tmp_path.rglob("*")}

    def fail(path: Path, tensors: object) -> None:
        path.write_bytes(b"half a file")
        raise failure

    monkeypatch.setattr(weights, "write", fail)
    with pytest.raises((InputError, KeyboardInterrupt)) as caught:
        save_checkpoint(tmp_path / "saved", **pieces(seed=1), force=force)
    assert {entry: entry.stat().st_mtime_ns for entry in tmp_path.rglob("*")} == before
    if isinstance(failure, OSError):
        assert "No space left on device" in str(caught.value)
