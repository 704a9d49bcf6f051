"""config.json is read strictly and written so that transformers reads the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exporters.errors import InputError
from squeezebert_edge.model.config import SqueezeBertConfig

UNCASED: dict[str, Any] = {
    "model_type": "squeezebert",
    "vocab_size": 30528,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "embedding_size": 768,
}


def test_defaults_are_transformers() -> None:
    from transformers import SqueezeBertConfig as Reference

    ours, theirs = SqueezeBertConfig().to_dict(), json.loads(Reference().to_json_string(use_diff=False))
    assert ours == {key: theirs[key] for key in ours}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"q_groups": 1, "k_groups": 2, "v_groups": 8, "hidden_act": "relu", "layer_norm_eps": 1e-5},
        {"id2label": {"0": "no", "1": "maybe", "2": "yes"}, "problem_type": "multi_label_classification"},
        {"id2label": {"0": "score"}, "label2id": {"score": 0}, "problem_type": "regression"},
        {"pad_token_id": None, "eos_token_id": [1, 2], "bos_token_id": 3, "tie_word_embeddings": False},
        {"output_attentions": True, "output_hidden_states": True, "return_dict": False},
        {"architectures": ["SqueezeBertForMaskedLM"], "dtype": "float16", "something_else": {"a": [1, 2.5]}},
        {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 1},
    ],
)
def test_transformers_reads_what_is_written(values: dict[str, Any], tmp_path: Path) -> None:
    from transformers import SqueezeBertConfig as Reference

    path = tmp_path / "config.json"
    config = SqueezeBertConfig.from_dict(UNCASED | values)
    config.save(path)
    theirs = Reference.from_pretrained(tmp_path)
    for key, value in config.to_dict().items():
        if key not in ("id2label", "dtype"):
            assert getattr(theirs, key) == value, key
    assert theirs.id2label == config.id2label
    assert theirs.num_labels == config.num_labels
    assert SqueezeBertConfig.from_file(path) == config
    theirs.save_pretrained(tmp_path)
    back = SqueezeBertConfig.from_file(path)
    back.extra = config.extra = {}
    if theirs.label2id is None:
        assert back.label2id == {label: index for index, label in back.id2label.items()}
    assert back == config


def test_unknown_keys_are_kept() -> None:
    values = UNCASED | {"dtype": "float16", "transformers_version": "4.0.0", "task": {"n": [1, None]}}
    config = SqueezeBertConfig.from_dict(values)
    assert config.extra == {"dtype": "float16", "transformers_version": "4.0.0", "task": {"n": [1, None]}}
    assert config.to_dict().items() >= values.items()


def test_reads_a_trained_checkpoint(shared: Path) -> None:
    path = shared / "checkpoints/squeezebert-medium-sst2/config.json"
    config = SqueezeBertConfig.from_file(path)
    assert (config.hidden_size, config.num_hidden_layers, config.vocab_size) == (512, 6, 30528)
    assert config.id2label == {0: "negative", 1: "positive"}
    assert config.to_dict().items() >= json.loads(path.read_text()).items()


def test_labels() -> None:
    assert SqueezeBertConfig.from_dict(UNCASED).id2label == {0: "LABEL_0", 1: "LABEL_1"}
    config = SqueezeBertConfig.from_dict(UNCASED | {"num_labels": 3, "id2label": None, "label2id": None})
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    named = SqueezeBertConfig.from_dict(UNCASED | {"id2label": {"1": "b", "0": "a"}, "num_labels": 2})
    assert named.label2id == {"a": 0, "b": 1}
    named.num_labels = 2
    assert named.id2label == {0: "a", 1: "b"}
    named.num_labels = 4
    assert (named.num_labels, named.label2id["LABEL_3"]) == (4, 3)
    # Files where only one of the two maps was set are common; the numbers do not contradict each other.
    SqueezeBertConfig.from_dict(UNCASED | {"id2label": {"0": "a"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}})


def test_older_name_of_return_dict() -> None:
    config = SqueezeBertConfig.from_dict(UNCASED | {"use_return_dict": False})
    assert config.return_dict is False
    assert "use_return_dict" not in config.to_dict()
    both = SqueezeBertConfig.from_dict(UNCASED | {"use_return_dict": False, "return_dict": True})
    assert both.return_dict is True


SIZES = [name for name, value in SqueezeBertConfig().to_dict().items() if type(value) is int and value > 0]


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("value", ["12", -1, 0, True, None, 12.0, [12], {}])
def test_wrong_sizes(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name) as caught:
        SqueezeBertConfig.from_dict(UNCASED | {name: value})
    assert caught.value.allowed == "a positive integer"
    assert f"{name} is {json.dumps(value)}" in caught.value.problem


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_dropout_prob": "0.1"}, 'hidden_dropout_prob is "0.1"'),
        ({"hidden_dropout_prob": 1.5}, "a number from 0 to 1"),
        ({"attention_probs_dropout_prob": -0.1}, "a number from 0 to 1"),
        ({"attention_probs_dropout_prob": True}, "attention_probs_dropout_prob is true"),
        ({"layer_norm_eps": 0}, "layer_norm_eps is 0"),
        ({"layer_norm_eps": None}, "layer_norm_eps is null"),
        ({"layer_norm_eps": float("nan")}, "a positive number"),
        ({"initializer_range": -0.02}, "initializer_range is -0.02"),
        ({"initializer_range": float("inf")}, "a positive number"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings is 1"),
        ({"return_dict": None}, "return_dict is null"),
        ({"output_attentions": "yes"}, 'output_attentions is "yes"'),
        ({"pad_token_id": "0"}, 'pad_token_id is "0"'),
        ({"pad_token_id": False}, "pad_token_id is false"),
        ({"pad_token_id": -1}, "pad_token_id is -1"),
        ({"pad_token_id": 30528}, "an integer from 0 to 30527, or null"),
        ({"bos_token_id": "1"}, 'bos_token_id is "1"'),
        ({"eos_token_id": [1, "2"]}, "eos_token_id"),
        ({"hidden_act": "gelu_newest"}, 'hidden_act is "gelu_newest"'),
        ({"hidden_act": None}, "hidden_act is null"),
        ({"hidden_act": ["gelu"]}, "hidden_act"),
        ({"problem_type": "classification"}, "single_label_classification"),
        ({"problem_type": ["regression"]}, "problem_type"),
        ({"problem_type": "single_label_classification", "num_labels": 1}, "regression"),
        ({"architectures": "SqueezeBertModel"}, "a list of class names"),
        ({"architectures": [1]}, "a list of class names"),
        ({"num_labels": 0}, "num_labels is 0"),
        ({"num_labels": "2"}, 'num_labels is "2"'),
        ({"num_labels": 3, "id2label": {"0": "a", "1": "b"}}, "num_labels is 3, but id2label names 2"),
        ({"id2label": ["a", "b"]}, "an object of labels by number"),
        ({"id2label": {}}, "without gaps"),
        ({"id2label": {"1": "a", "2": "b"}}, "without gaps"),
        ({"id2label": {"first": "a"}}, "keys that are integers"),
        ({"id2label": {"0": "a", "1": 1.5}}, "labels that are texts or whole numbers"),
        ({"id2label": {"0": "a", "1": None}}, "labels that are texts or whole numbers"),
        ({"id2label": {"0": "a", "1": True}}, "labels that are texts or whole numbers"),
        ({"id2label": {"0": "1", "1": 1}}, "differ from each other"),
        ({"id2label": {"0": "a", "1": "a"}}, "differ from each other"),
        ({"label2id": {"LABEL_0": "first"}}, "an integer for each label"),
        ({"label2id": {"LABEL_0": "1", "LABEL_1": "0"}}, "id2label's numbers"),
        ({"label2id": ["LABEL_0"]}, "an integer for each label"),
        ({"label2id": {"LABEL_0": 1, "LABEL_1": 0}}, "id2label's numbers"),
        ({"embedding_size": 128}, "embedding_size is 128 and hidden_size is 768"),
        ({"num_attention_heads": 7}, "hidden_size is 768, which num_attention_heads"),
        ({"q_groups": 5}, "hidden_size is 768, which q_groups"),
        ({"k_groups": 5}, "k_groups"),
        ({"v_groups": 5}, "v_groups"),
        ({"post_attention_groups": 5}, "post_attention_groups"),
        ({"intermediate_groups": 5}, "intermediate_groups"),
        ({"intermediate_size": 3070}, "intermediate_size is 3070, which intermediate_groups"),
        ({"output_groups": 1024}, "hidden_size is 768, which output_groups"),
    ],
)
def test_refusals(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        SqueezeBertConfig.from_dict(UNCASED | values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"id2label": {"0": "no", "1": "yes"}, "label2id": {"no": "0", "yes": "1"}},
        {"id2label": {"0": 1, "1": 5}, "label2id": {"1": 0, "5": 1}},
    ],
)
def test_labels_are_those_that_transformers_takes(values: dict[str, Any]) -> None:
    import transformers

    config = SqueezeBertConfig.from_dict(UNCASED | values)
    theirs = transformers.SqueezeBertConfig(**values)
    assert config.id2label == {index: str(label) for index, label in theirs.id2label.items()}
    assert config.label2id == {label: int(index) for label, index in theirs.label2id.items()}
    assert SqueezeBertConfig.from_dict(config.to_dict()) == config


def test_other_architectures_are_named() -> None:
    with pytest.raises(InputError, match='model_type is "bert"') as caught:
        SqueezeBertConfig.from_dict({"model_type": "bert", "hidden_size": 768})
    assert caught.value.allowed == "model_type 'squeezebert'"
    with pytest.raises(InputError, match="no model_type"):
        SqueezeBertConfig.from_dict({"hidden_size": 768})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b'{"model_type": "squeezebert"', "not JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1, 2]", "a JSON object"),
        (b"null", "a JSON object"),
        (b'{"model_type": "bert"}', "bert"),
        (b'{"model_type": "squeezebert", "vocab_size": "many"}', 'vocab_size is "many"'),
    ],
)
def test_bad_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        SqueezeBertConfig.from_file(path)
    assert str(path) in caught.value.problem


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        SqueezeBertConfig.from_file(tmp_path / "config.json")
    with pytest.raises(InputError, match="cannot be read"):
        SqueezeBertConfig.from_file(tmp_path)


def test_needs_no_torch() -> None:
    code = (
        "import sys; from squeezebert_edge.model import complexity, config; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
