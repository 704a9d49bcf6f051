"""LiteRT: a model (.tflite) with one signature per length over one set of weights."""

from exporters.precision import (
    CALIBRATED_GATES,
    FLOAT16_GATES,
    FLOAT32_GATES,
    INT4_GATES,
    INT8_GATES,
    Precision,
    Rounding,
)
from exporters.spec import Format

FORMAT = Format(
    title="LiteRT",
    file_name="model.tflite",
    exporter="exporters.tflite.export",
    runner="exporters.tflite.runner",
    makes=("litert_torch", "ai_edge_quantizer"),
    makes_on_linux_arm=False,
    precisions={
        "fp32": Precision("float32", "float32", gates=FLOAT32_GATES),
        "fp16": Precision("float16", "float32", gates=FLOAT16_GATES),
        "int8-dynamic": Precision(
            "int8",
            "int8 at run time",
            "weights per channel, activations per row",
            gates=INT8_GATES,
            rounding=Rounding(8, None, "row"),
        ),
        "int8-static": Precision(
            "int8",
            "int8",
            "weights per channel, activations per tensor",
            gates=CALIBRATED_GATES,
            rounding=Rounding(8, None, "tensor"),
        ),
        "int4": Precision(
            "int4",
            "int8 at run time",
            "weights per channel, activations per row",
            gates=INT4_GATES,
            rounding=Rounding(4, None, "row"),
        ),
    },
)
