"""quantization.json says what was learned, for these weights alone; anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exporters.errors import InputError
from exporters.spec import Ranges
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from squeezebert_edge.checkpoint.ranges import of_form, products, read
from squeezebert_edge.forms.catalog import lay_out
from squeezebert_edge.tasks.heads import TextClassification
from squeezebert_edge.text.tokenizer import Tokenizer
from tests.kit.small import VOCABULARY
from tests.kit.tiny import tiny_config, tiny_model

RANGES = {
    "layers.0.qkv.3": Ranges((-1.5, 2.25), (-0.1, 0.3)),
    "head.pooler": Ranges((0.0, 0.0), (-1e-8, 7e5)),
}


def save(directory: Path, ranges: dict[str, Ranges] | None = RANGES, seed: int = 0) -> Path:
    model = tiny_model(seed=seed)
    save_checkpoint(
        directory, config=tiny_config(), model=model, tokenizer=Tokenizer(VOCABULARY), ranges=ranges
    )
    return directory


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read(save(tmp_path / "a")) == RANGES
    assert read(save(tmp_path / "b", None)) is None
    written = json.loads((tmp_path / "a" / "quantization.json").read_text())
    assert (written["schema_version"], written["precision"]) == (1, "int8-static")
    assert written["ranges"]["head.pooler"] == {"input": [0.0, 0.0], "output": [-1e-8, 7e5]}


def test_the_checkpoint_has_them_and_transformers_reads_it(tmp_path: Path) -> None:
    from transformers import SqueezeBertForSequenceClassification

    with_ranges, without = (load_checkpoint(save(tmp_path / n, r)) for n, r in (("a", RANGES), ("b", None)))
    assert (with_ranges.ranges, without.ranges) == (RANGES, {})
    assert with_ranges.sha256 != without.sha256  # other artifacts come of them
    assert with_ranges.accepted == ()
    SqueezeBertForSequenceClassification.from_pretrained(tmp_path / "a")


def test_weights_that_transformers_saved_again_are_the_same_weights(tmp_path: Path) -> None:
    from transformers import SqueezeBertForSequenceClassification

    save(tmp_path / "a")
    model = SqueezeBertForSequenceClassification.from_pretrained(tmp_path / "a")
    model.save_pretrained(tmp_path / "b", max_shard_size="10KB")
    (tmp_path / "b" / "quantization.json").write_bytes((tmp_path / "a" / "quantization.json").read_bytes())
    assert read(tmp_path / "b") == RANGES


def test_other_weights_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a")
    other = save(tmp_path / "b", seed=1)
    (other / "quantization.json").write_bytes((tmp_path / "a" / "quantization.json").read_bytes())
    with pytest.raises(InputError, match="learned with other weights"):
        read(other)


LIMITS = {"input": [0, 1], "output": [0, 1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"precision": "int8-dynamic"}, "precision"),
        ({"ranges": {"layers.2.qkv.0": LIMITS}}, "the model has no layers.2.qkv.0"),
        ({"ranges": {"layers.0.query.0": LIMITS}}, "the model has no layers.0.query.0"),
        ({"ranges": {"head.pooler": LIMITS | {"input": [1, 0]}}}, "least value, 1, exceeds the greatest, 0"),
        ({"ranges": {"head.pooler": LIMITS | {"input": [float("nan"), 0]}}}, "NaN, which is not finite"),
        (
            {"ranges": {"head.pooler": LIMITS | {"output": [0, float("inf")]}}},
            "Infinity, which is not finite",
        ),
        ({"ranges": {"head.pooler": LIMITS | {"input": [0]}}}, "ranges.head.pooler.input"),
        ({"ranges": {"head.pooler": LIMITS | {"input": ["0", 1]}}}, "ranges.head.pooler.input.0"),
        ({"ranges": {"head.pooler": {"input": [0, 1]}}}, "ranges.head.pooler.output"),
        ({"scales": {}}, "scales"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = save(tmp_path / "a") / "quantization.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"schema_version": 1}'])
def test_damage_is_refused(tmp_path: Path, content: bytes) -> None:
    (save(tmp_path / "a") / "quantization.json").write_bytes(content)
    with pytest.raises(InputError, match=r"quantization\.json"):
        read(tmp_path / "a")


@pytest.mark.parametrize("limits", [(float("nan"), 1.0), (1.0, float("inf")), (2.0, 1.0)])
def test_ranges_that_are_none_are_not_written(tmp_path: Path, limits: tuple[float, float]) -> None:
    with pytest.raises(InputError, match=r"cannot be stored: input"):
        save(tmp_path / "a", {"head.pooler": Ranges(limits, (0.0, 1.0))})
    assert list(tmp_path.iterdir()) == []


def test_products_are_fused_where_groups_hold_whole_heads() -> None:
    fused = products(tiny_config())
    assert fused["encoder.layers.1.attention.key"] == tuple(f"layers.1.qkv.{group}" for group in range(4))
    assert fused["encoder.layers.0.post_attention.conv1d"] == ("layers.0.post_attention.0",)
    assert fused["encoder.layers.0.output.conv1d"][3] == "layers.0.output.3"
    assert fused["pooler.dense"] == ("head.pooler",)
    for apart in ({"k_groups": 2}, {"num_attention_heads": 2}):
        names = products(tiny_config(**apart))
        assert names["encoder.layers.0.attention.query"][3] == "layers.0.query.3"
        assert names["encoder.layers.0.attention.key"][1] == "layers.0.key.1"
        assert names["encoder.layers.0.attention.value"][3] == "layers.0.value.3"


def test_a_convolution_takes_in_what_the_products_it_stands_for_do() -> None:
    model = tiny_model(num_hidden_layers=1)
    inputs = [(-1.0, 4.0), (-3.0, 2.0), (-2.0, 1.0), (0.0, 5.0)]
    ranges = {f"layers.0.qkv.{group}": Ranges(each, (-9.0, 9.0)) for group, each in enumerate(inputs)}
    ranges |= {
        "head.pooler": Ranges((-7.0, 7.0), (-8.0, 8.0)),
        "layers.0.output.1": Ranges((-6.0, 6.0)),  # one of four: the others' are not known
    }
    whole, apart, linear = (
        of_form(ranges, lay_out(model, TextClassification, form))
        for form in ("neural-engine", "neural-engine-groups", "group-resident")
    )
    pooler = {"head.pooler": ranges["head.pooler"]}
    parts = [f"layers.0.qkv.{part}" for part in ("query", "key", "value")]
    assert whole == dict.fromkeys(parts, Ranges((-3.0, 5.0))) | pooler
    of_groups = {f"{part}.{group}": Ranges(each) for part in parts for group, each in enumerate(inputs)}
    assert apart == of_groups | pooler | {"layers.0.output.1": ranges["layers.0.output.1"]}
    assert linear == ranges
