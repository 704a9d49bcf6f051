"""ExecuTorch: a program (.pte) for XNNPACK with one method per length, the weights stored once."""

from exporters.precision import (
    CALIBRATED_GATES,
    FLOAT32_GATES,
    INT4_GATES,
    INT8_GATES,
    Precision,
    Rounding,
)
from exporters.spec import Format

INT4_GROUP = 32  # values that share a scale: XNNPACK's smallest

FORMAT = Format(
    title="ExecuTorch",
    file_name="model.pte",
    exporter="exporters.executorch.export",
    runner="exporters.executorch.runner",
    makes=("executorch",),
    runs=("executorch",),
    precisions={
        "fp32": Precision("float32", "float32", gates=FLOAT32_GATES),
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
            "weights per 32 of a channel, activations per row",
            gates=INT4_GATES,
            rounding=Rounding(4, INT4_GROUP, "row"),
        ),
    },
)
