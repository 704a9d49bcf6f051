"""What is made where a user names no precisions, and how many at the same time."""

from __future__ import annotations

import pytest

import exporters
from exporters.units import GPU, Unit
from squeezebert_edge.verbs import export
from squeezebert_edge.verbs.estimate import estimate
from squeezebert_edge.verbs.export import possible_jobs
from squeezebert_edge.verbs.plan import Plan, every_length, shipped_pairs
from tests.kit.small import small_checkpoint
from tests.kit.tiny import tiny_config

NPU = Unit("npu", "SM8650")


def test_one_ships_a_format_s_float_and_its_int8() -> None:
    assert shipped_pairs(["executorch", "coreml", "tflite", "tflite"]) == [
        *(("executorch", "fp32"), ("executorch", "int8")),
        *(("coreml", "fp16"), ("coreml", "int8")),
        *(("tflite", "fp32"), ("tflite", "int8")),
    ]
    assert shipped_pairs(["tflite"], [GPU]) == [("tflite", "fp32"), ("tflite", "int8")]
    # An NPU takes no float32.
    assert shipped_pairs(["executorch", "tflite"], [NPU]) == [
        *(("executorch", "fp32"), ("executorch", "int8")),
        *(("tflite", "fp16"), ("tflite", "int8")),
    ]
    assert {format_ for format_, _ in shipped_pairs(exporters.names())} == set(exporters.names())


def test_every_length_ends_with_the_longest() -> None:
    assert every_length(8, tiny_config(max_position_embeddings=512)) == tuple(range(8, 129, 8))
    assert every_length(24, tiny_config(max_position_embeddings=64)) == (24, 48, 64)
    assert every_length(1, tiny_config(max_position_embeddings=40))[0] == 4  # of a text


@pytest.mark.parametrize(
    ("cores", "memory", "jobs"),
    [(8, None, 8), (2, 64 << 30, 2), (8, 4 << 30, 4), (8, 1 << 30, 1), (1, 64 << 30, 1)],
)
def test_as_many_are_made_at_once_as_cores_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, cores: int, memory: int | None, jobs: int
) -> None:
    monkeypatch.setattr(export, "usable_cores", lambda: cores)
    monkeypatch.setattr(export, "available_memory", lambda: memory)
    assert possible_jobs(small_checkpoint()) == jobs


def test_an_estimate_grows_with_the_work() -> None:
    small = small_checkpoint(num_hidden_layers=1)
    pairs = [("executorch", "fp32"), ("tflite", "fp32"), ("tflite", "int8")]

    def seconds(plan: Plan, jobs: int = 1, examples: int = 0) -> float:
        return estimate(small, plan, jobs=jobs, pairs=3, examples=examples, protocol=None)

    whole = seconds(Plan(pairs, (16, 32)))
    assert seconds(Plan(pairs, (16, 32)), jobs=2) < whole
    assert seconds(Plan(pairs[:1], (16, 32))) < whole < seconds(Plan(pairs, (16, 32)), examples=1000)
    assert seconds(Plan([], (16, 32))) == 0
