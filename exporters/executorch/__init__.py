"""ExecuTorch: a program (.pte) for XNNPACK with one method per length, the weights stored once."""

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

PIECE = 64  # products that are added up one after the other in float16
INT4_GROUP = 32  # values that share a scale: XNNPACK's smallest

FORMAT = Format(
    title="ExecuTorch",
    file_name="model.pte",
    exporter="exporters.executorch.export",
    runner="exporters.executorch.runner",
    description="exporters.executorch.description",
    constants="exporters.executorch.constants",
    makes=("executorch",),
    runs=("executorch",),
    precisions={
        "fp32": FLOAT32,
        "fp16": Precision("float16", "float16", gates=FLOAT16_GATES, piece=PIECE),
        "int8-dynamic": INT8_DYNAMIC,
        "int8-static": INT8_STATIC,
        "int4": Precision(
            "int4",
            "int8 at run time",
            "weights per 32 of a channel, activations per row",
            gates=INT4_GATES,
            rounding=Rounding(4, INT4_GROUP, "row"),
        ),
    },
)
