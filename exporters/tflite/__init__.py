"""LiteRT: a model (.tflite) with one signature per length over one set of weights."""

from exporters.precision import (
    FLOAT16_GATES,
    FLOAT32,
    INT4_GATES,
    INT8_DYNAMIC,
    INT8_STATIC,
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
        "fp32": FLOAT32,
        "fp16": Precision("float16", "float32", gates=FLOAT16_GATES),
        "int8-dynamic": INT8_DYNAMIC,
        "int8-static": INT8_STATIC,
        "int4": Precision(
            "int4",
            "int8 at run time",
            "weights per channel, activations per row",
            gates=INT4_GATES,
            rounding=Rounding(4, None, "row"),
        ),
    },
)
