"""Artifacts that several files of tests look at, each made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from tests.kit.exported import WORDS, Made, Small, head, make


@pytest.fixture(scope="session")
def small_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """The module Small in a format."""
    return cache(lambda format_: make(format_, tmp_path_factory.mktemp(format_), Small(), Small.outputs))


@pytest.fixture(scope="session")
def masked_lm_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """A masked LM in a format."""

    @cache
    def masked_lm(format_: str) -> Made:
        module, outputs = head("SqueezeBertForMaskedLM", vocab_size=WORDS)
        return make(format_, tmp_path_factory.mktemp(format_), module, outputs)

    return masked_lm
