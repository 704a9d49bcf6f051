"""Core ML: an ML Program (.mlpackage) for iOS and macOS, written on any machine."""

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
    title="Core ML",
    file_name="model.mlpackage",
    exporter="exporters.coreml.export",
    runner="exporters.coreml.runner",
    makes=("coremltools",),
    runs=("coremltools",),
    makes_on_linux_arm=False,
    targets=("iOS17", "iOS18"),
    precisions={
        "fp32": Precision("float32", "float32", gates=FLOAT32_GATES),
        "fp16": Precision("float16", "float16", gates=FLOAT16_GATES),
        "int8-weights": Precision(
            "int8", "float16", "weights per channel", gates=INT8_GATES, rounding=Rounding(8, None, None)
        ),
        "int4-weights": Precision(
            "int4",
            "float16",
            "weights per 32 of a channel; for iOS 17 16 values per tensor",
            gates=INT4_GATES,
            rounding=Rounding(4, 32, None),
            palette_targets=("iOS17",),
        ),
        "int8-static": Precision(
            "int8",
            "int8",
            "weights per channel, activations per tensor",
            gates=CALIBRATED_GATES,
            rounding=Rounding(8, None, "tensor"),
        ),
    },
)
