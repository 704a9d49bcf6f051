"""LiteRT: a model (.tflite) with one signature per length over one set of weights."""

from dataclasses import replace

from exporters.precision import (
    CALIBRATED_GATES,
    FLOAT16_GATES,
    FLOAT32,
    GPU_FLOAT_GATES,
    INT4_GATES,
    INT8_DYNAMIC,
    INT8_GATES,
    INT8_STATIC,
    NPU_FLOAT_GATES,
    NPU_INT8_GATES,
    NPU_INT16_GATES,
    Precision,
    Rounding,
)
from exporters.spec import Format

FORMAT = Format(
    title="LiteRT",
    file_name="model.tflite",
    exporter="exporters.tflite.export",
    runner="exporters.tflite.runner",
    description="exporters.tflite.signatures",
    constants="exporters.tflite.constants",
    runs_beside=True,
    makes=("litert_torch", "ai_edge_quantizer"),
    makes_on_linux_arm=False,
    units={"cpu-fp16": "exporters.tflite.half", "gpu": "exporters.tflite.gpu", "npu": "exporters.tflite.npu"},
    precisions={
        "fp32": replace(FLOAT32, unit_gates={"cpu-fp16": FLOAT16_GATES, "gpu": GPU_FLOAT_GATES}),
        "fp16": Precision(
            "float16",
            "float32",
            gates=FLOAT16_GATES,
            unit_gates={"cpu-fp16": FLOAT16_GATES, "gpu": GPU_FLOAT_GATES, "npu": NPU_FLOAT_GATES},
        ),
        "int8-dynamic": replace(INT8_DYNAMIC, unit_gates={"gpu": INT8_GATES}),
        "int8-static": replace(INT8_STATIC, unit_gates={"gpu": CALIBRATED_GATES, "npu": NPU_INT8_GATES}),
        "int16x8": Precision(
            "int8",
            "int16",
            "weights per channel, activations per tensor",
            gates=INT8_GATES,
            rounding=Rounding(8, None, "tensor"),
            for_npus=True,
            unit_gates={"npu": NPU_INT16_GATES},
        ),
        "int4": Precision(
            "int4",
            "int8 at run time",
            "weights per channel, activations per row",
            gates=INT4_GATES,
            rounding=Rounding(4, None, "row"),
            unit_gates={"gpu": INT4_GATES},
        ),
    },
)
