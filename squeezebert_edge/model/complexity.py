"""Parameters, bytes and multiply-accumulates of a network by kind of layer, counted from its configuration.

One multiply-accumulate (MAC) is two floating-point operations (FLOP). Counted are the products of
convolutions, linear layers and attention, and one MAC for every bias added to an output; look-ups,
LayerNorm, softmax, activations and residual sums are not. Counted so, squeezebert-uncased without a head has
51.1 million parameters and 7.42 GFLOP at 128 tokens, the figures of its paper (Iandola et al. 2020, arXiv
2006.11316). A counter that leaves biases out, such as torch.utils.flop_counter, finds 7.40.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporters.errors import InputError
from squeezebert_edge.model.config import SqueezeBertConfig

FLOAT32_BYTES = 4
_ACTIVATION_PARAMETERS = {"prelu": 1, "xielu": 2}


@dataclass(frozen=True)
class Part:
    """What all layers of one kind amount to together.

    kind: "embeddings", "query/key/value", "attention matmuls", "post_attention", "intermediate", "output",
        "LayerNorm", "pooler", "head" or "total".
    parameters: how many numbers are learned; a tied decoder's weight counts once, in the embeddings.
    macs: multiply-accumulates for one text.
    """

    kind: str
    parameters: int
    macs: int

    @property
    def bytes(self) -> int:
        """Size of the parameters in float32."""
        return FLOAT32_BYTES * self.parameters

    @property
    def gflop(self) -> float:
        """Billions of floating-point operations for one text, two for each multiply-accumulate."""
        return 2 * self.macs / 1e9


def count(config: SqueezeBertConfig, length: int, architecture: str) -> list[Part]:
    """Count one pass of the float reference over one text (for multiple choice: one choice).

    The reference computes the pooler under every head; an exported program drops it where it is not read.

    Args:
        config: the network.
        length: tokens, padding included.
        architecture: a key of model.ARCHITECTURES.

    Returns:
        One part for each kind of layer, in the order of the network; "head" only where there is one.

    Raises:
        InputError: an unknown architecture, a length that the network does not take, a refused configuration.
    """
    config.validate()
    longest = config.max_position_embeddings
    if not 1 <= length <= longest:
        raise InputError(
            f"the network does not take {length} tokens", allowed=f"1 to max_position_embeddings, {longest}"
        )
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    head = _head(config, length, architecture)
    rows = config.vocab_size + longest + config.type_vocab_size
    norms = 1 + 2 * layers + (architecture == "SqueezeBertForMaskedLM")
    qkv = sum(
        _weights(width, width, groups) for groups in (config.q_groups, config.k_groups, config.v_groups)
    )
    projection = _weights(width, width, config.post_attention_groups)
    widening = _weights(width, inner, config.intermediate_groups)
    narrowing = _weights(inner, width, config.output_groups)
    activations = layers * _ACTIVATION_PARAMETERS.get(config.hidden_act, 0)
    positions = layers * length
    return [
        Part("embeddings", rows * width, 0),
        Part("query/key/value", layers * qkv, positions * qkv),
        Part("attention matmuls", 0, positions * 2 * length * width),
        Part("post_attention", layers * projection, positions * projection),
        Part("intermediate", layers * widening + activations, positions * widening),
        Part("output", layers * narrowing, positions * narrowing),
        Part("LayerNorm", norms * 2 * width, 0),
        Part("pooler", _weights(width, width), _weights(width, width)),
        *([head] if head else []),
    ]


def total(parts: list[Part]) -> Part:
    """The sum of the parts."""
    return Part("total", sum(part.parameters for part in parts), sum(part.macs for part in parts))


def _weights(c_in: int, c_out: int, groups: int = 1) -> int:
    """Weights and biases of a grouped 1x1 convolution or linear layer: its parameters, and its multiply-
    accumulates at one position."""
    return c_out * (c_in // groups + 1)


def _head(config: SqueezeBertConfig, length: int, architecture: str) -> Part | None:
    width, vocabulary = config.hidden_size, config.vocab_size
    outputs_and_positions = {
        "SqueezeBertForSequenceClassification": (config.num_labels, 1),
        "SqueezeBertForMultipleChoice": (1, 1),
        "SqueezeBertForTokenClassification": (config.num_labels, length),
        "SqueezeBertForQuestionAnswering": (2, length),
    }
    if architecture in outputs_and_positions:
        outputs, positions = outputs_and_positions[architecture]
        weights = _weights(width, outputs)
        return Part("head", weights, positions * weights)
    if architecture == "SqueezeBertForMaskedLM":
        transform, decoder = _weights(width, width), _weights(width, vocabulary)
        # Tied, the head owns one bias; untied, the decoder's weight and a second bias as well.
        owned = vocabulary if config.tie_word_embeddings else decoder + vocabulary
        activation = _ACTIVATION_PARAMETERS.get(config.hidden_act, 0)
        return Part("head", transform + owned + activation, length * (transform + decoder))
    if architecture == "SqueezeBertModel":
        return None
    known = ["SqueezeBertModel", "SqueezeBertForMaskedLM", *outputs_and_positions]
    raise InputError(f"unknown architecture '{architecture}'", allowed=", ".join(known))
