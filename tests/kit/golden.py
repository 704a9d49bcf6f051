"""What transformers computes, as the package carries it: the truth that the float model is held to.

python -m tests.kit.golden      # writes squeezebert_edge/assets/golden.safetensors
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from squeezebert_edge.proof.reference import GOLDEN
from squeezebert_edge.tasks.heads import TASKS, Task

TEXTS = (
    ("a gorgeous, witty, seductive movie .", None),
    ("It's NOT déjà vu: 3 unbelievably dull hours", "naïve 东京 #film @home"),
    ("", None),
    ("the plot is paper-thin, but who cares?", "a word that nobody knows: ☃"),
)

# Group counts that differ, and an epsilon that is seen, so that no two of them can change places.
SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "embedding_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 16,
    "layer_norm_eps": 0.03125,
    "q_groups": 2,
    "k_groups": 4,
    "v_groups": 1,
    "post_attention_groups": 8,
    "intermediate_groups": 16,
    "output_groups": 4,
}


def golden() -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, and texts by name, both as `squeezebert_edge.proof.reference` reads them."""
    tensors, texts = _default()
    for task in TASKS.values():
        of_network, config = _network(task)
        tensors |= {f"{task.name}/{name}": tensor for name, tensor in of_network.items()}
        texts[f"{task.name}/config"] = json.dumps(config)
    return tensors, texts


def _default() -> tuple[dict[str, Tensor], dict[str, str]]:
    """The embedded model and its tokenizer on TEXTS."""
    from transformers import AutoTokenizer, SqueezeBertForSequenceClassification

    directory = resources.files("squeezebert_edge") / "assets" / "default"
    tokenizer = AutoTokenizer.from_pretrained(str(directory))
    model = SqueezeBertForSequenceClassification.from_pretrained(str(directory), dtype=torch.float32).eval()
    rows = [tokenizer(text, pair, padding="max_length", max_length=32) for text, pair in TEXTS]
    inputs = {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}
    with torch.inference_mode():
        logits = model(**inputs).logits
    tensors = {f"inputs/{name}": value.int() for name, value in inputs.items()} | {"outputs/logits": logits}
    return {f"default/{name}": tensor for name, tensor in tensors.items()}, {"texts": json.dumps(TEXTS)}


def _network(task: type[Task]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A random network of a head on random rows: weights, inputs and outputs, and its config.json."""
    import transformers

    labels = {str(index): f"LABEL_{index}" for index in range(2 if task.name == "question-answering" else 3)}
    config = transformers.SqueezeBertConfig(**SIZES, id2label=labels)
    model = getattr(transformers, task.architecture)(config).eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=random) * 0.3
            # float16 holds it exactly, so that the file is half as long.
            parameter.copy_((drawn + float(name.lower().endswith("layernorm.weight"))).half())
    ids = torch.randint(0, SIZES["vocab_size"], (3, 16), generator=random)
    types = torch.randint(0, 2, ids.shape, generator=random)
    mask = (torch.arange(16) < torch.tensor([[16], [9], [2]])).long()
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    rows = inputs
    if task.name == "multiple-choice":  # (B, S) -> (B, 1, S), one choice each
        rows = {name: value[:, None] for name, value in inputs.items()}
    with torch.inference_mode():
        computed = model(**rows)
    weights = {f"weights/{name}": tensor.clone().half() for name, tensor in model.state_dict().items()}
    return (
        weights
        | {f"inputs/{name}": value.int() for name, value in inputs.items()}
        | {f"outputs/{name}": computed[name].clone() for name in task.outputs},
        {"model_type": "squeezebert", "id2label": labels, **SIZES},
    )


def main() -> None:
    """Write the package's file."""
    tensors, texts = golden()
    file = Path(str(resources.files("squeezebert_edge"))) / "assets" / GOLDEN
    save_file(tensors, file, metadata=texts)


if __name__ == "__main__":
    main()
