"""Core ML: an ML Program (.mlpackage) for iOS and macOS, written on any machine."""

from exporters.precision import (
    FLOAT16_GATES,
    FLOAT32,
    INT4_GATES,
    INT8_GATES,
    INT8_STATIC,
    Precision,
    Rounding,
)
from exporters.spec import Format

FORMAT = Format(
    title="Core ML",
    file_name="model.mlpackage",
    exporter="exporters.coreml.export",
    runner="exporters.coreml.runner",
    description="exporters.coreml.description",
    constants="exporters.coreml.constants",
    runs_beside=True,
    makes=("coremltools",),
    runs=("coremltools",),
    makes_on_linux_arm=False,
    targets=("iOS17", "iOS18"),
    precisions={
        "fp32": FLOAT32,
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
        "int8-static": INT8_STATIC,
    },
)
