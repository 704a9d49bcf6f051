"""A BERT is read as the dense SqueezeBERT that it is, and what is no such BERT is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from exporters.errors import InputError
from squeezebert_edge.checkpoint.bert import load_bert
from squeezebert_edge.text.tokenizer import Tokenizer, TokenizerFlags
from tests.kit.berts import random_bert, save_bert
from tests.kit.teachers import another
from tests.kit.trained import TOKENIZER

MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
IDS = torch.tensor([[2, 7, 9, 8, 3], [2, 9, 3, 0, 0]])
TYPES = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]])
HEADS = {
    "AutoModel": "last_hidden_state",
    "AutoModelForSequenceClassification": "logits",
    "AutoModelForTokenClassification": "logits",
    "AutoModelForQuestionAnswering": "start_logits",
    "AutoModelForMaskedLM": "logits",
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "sizes", [{}, {"num_hidden_layers": 3, "layer_norm_eps": 1e-3, "hidden_act": "relu"}]
)
def test_every_head_computes_what_transformers_computes(
    tmp_path: Path, head: str, sizes: dict[str, object]
) -> None:
    theirs = random_bert(head, **sizes)
    architecture = "SqueezeBertModel" if head == "AutoModel" else None
    ours = load_bert(save_bert(theirs, tmp_path / "bert"), architecture=architecture)
    with torch.no_grad():
        found = ours.model(IDS, MASK, TYPES, output_hidden_states=True, return_dict=True)
        wanted = theirs(IDS, MASK, TYPES, output_hidden_states=True)
    real = MASK != 0
    for own, other in zip(found.hidden_states, wanted.hidden_states, strict=True):
        torch.testing.assert_close(own[real], other[real], rtol=1e-4, atol=1e-5)
    own, other = getattr(found, HEADS[head]), wanted[HEADS[head]]
    same = real if own.dim() == 3 or "start" in HEADS[head] else slice(None)
    torch.testing.assert_close(own[same], other[same], rtol=1e-4, atol=1e-5)
    assert {ours.config.q_groups, ours.config.output_groups, ours.config.post_attention_groups} == {1}


def test_older_spellings_and_wrappers_are_read(tmp_path: Path) -> None:
    directory = save_bert(random_bert(), tmp_path / "bert")
    file = directory / "model.safetensors"
    before = load_bert(directory).model.state_dict()
    older = {
        "module."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): w
        for name, w in load_file(file).items()
    }
    save_file(older, file)
    found = load_bert(directory)
    assert all(torch.equal(value, before[name]) for name, value in found.model.state_dict().items())
    assert any("module." in remark for remark in found.accepted)


def test_what_is_no_bert_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the model_type is .distilbert.\nallowed: 'bert'"):
        load_bert(another(tmp_path / "distil", "distilbert"))
    with pytest.raises(InputError, match="a SqueezeBERT needs no conversion"):
        load_bert("default")
    for key, value in {"position_embedding_type": "relative_key", "is_decoder": True}.items():
        directory = save_bert(random_bert(), tmp_path / key, **{key: value})
        with pytest.raises(InputError, match=rf"{key} is .*\nallowed: (absolute|false)"):
            load_bert(directory)
    directory = save_bert(random_bert(), tmp_path / "wide", intermediate_size=96)
    with pytest.raises(InputError, match="config.json wants"):
        load_bert(directory)
    with pytest.raises(InputError, match="is not a directory"):
        load_bert(tmp_path / "nothing")


def test_a_cased_bert_is_read_as_such_or_refused(tmp_path: Path) -> None:
    words = [word.capitalize() if len(word) > 2 and word.isalpha() else word for word in TOKENIZER.vocab]
    cased = Tokenizer(words, TokenizerFlags(lower_case=False))
    directory = save_bert(random_bert(), tmp_path / "cased", cased)
    found = load_bert(directory)
    assert not found.tokenizer.flags.lower_case
    assert not found.accepted
    file = directory / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    del settings["do_lower_case"], settings["strip_accents"]
    file.write_text(json.dumps(settings))
    with pytest.raises(InputError, match='(?s)cased vocabulary.*"do_lower_case": false'):
        load_bert(directory)
    uncased = Tokenizer(TOKENIZER.vocab, TokenizerFlags(lower_case=False))
    odd = load_bert(save_bert(random_bert(), tmp_path / "odd", uncased))
    assert odd.accepted == (
        "do_lower_case is false, and no word has capitals: words with capitals are unknown to this BERT",
    )
