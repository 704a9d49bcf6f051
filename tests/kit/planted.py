"""A network with outlier channels that changes nothing in float: what naive quantization stumbles over.

python -m tests.kit.planted CHECKPOINT OUT      # writes such a checkpoint
"""

from __future__ import annotations

import copy
import sys

import torch

from squeezebert_edge.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from squeezebert_edge.model.base import SqueezeBertPreTrainedModel


def with_outliers(
    model: SqueezeBertPreTrainedModel, channels: int = 6, factor: float = 100.0
) -> SqueezeBertPreTrainedModel:
    """A copy: so many value channels a layer times `factor`, post_attention's columns divided by it."""
    planted = copy.deepcopy(model)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in planted.base_model.encoder.layers:
            value, projection = layer.attention.value, layer.post_attention.conv1d
            inputs = projection.weight.shape[1]  # of each group
            for channel in torch.randperm(value.out_channels, generator=random)[:channels].tolist():
                value.weight[channel] *= factor
                value.bias[channel] *= factor
                outputs = projection.out_channels // projection.groups
                first = channel // inputs * outputs
                projection.weight[first : first + outputs, channel % inputs] /= factor
    return planted


def main() -> None:
    """Plant outliers in a checkpoint."""
    source, out = sys.argv[1:]
    loaded = load_checkpoint(source)
    model = with_outliers(loaded.model)
    save_checkpoint(out, config=loaded.config, model=model, tokenizer=loaded.tokenizer)


if __name__ == "__main__":
    main()
