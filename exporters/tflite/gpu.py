"""A phone's GPU through LiteRT's GPU accelerator: which operators it takes, and what it computes.

The accelerator of a desktop computes with WebGPU over Vulkan, a phone's with OpenCL or Vulkan. Both check the
operators and write the kernels alike (ML Drift); driver, speed and memory are the phone's own.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.errors import GateError, InputError, UnavailableError
from exporters.process import ProcessError, RunnerProcess
from exporters.spec import Artifact, Delegation, ExportRequest, Tell, UnitArtifact
from exporters.tflite.quantization import count_operators
from exporters.units import GPU, Unit

if TYPE_CHECKING:
    from exporters.precision import Precision

SOFTWARE_VULKAN = (  # SwiftShader comes with Chromium, beside a loader of its own
    "/usr/lib/chromium/vk_swiftshader_icd.json",
    "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
    "/opt/google/chrome/vk_swiftshader_icd.json",
)
SYSTEM_VULKAN = ("/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d")
NO_VULKAN = ("No adapters found", "Couldn't load Vulkan")
HINT = "install a Vulkan that Dawn accepts: Debian's package chromium has SwiftShader, or set VK_DRIVER_FILES"


def choose(name: str | None, precision: Precision) -> Sequence[Unit]:
    """The GPU, which has no chips to choose from: one file serves all."""
    return [GPU]


def require(units: Sequence[Unit]) -> None:
    """Raise UnavailableError if LiteRT has no GPU accelerator or finds no Vulkan on this machine."""
    if find_spec("ai_edge_litert") is None:
        raise InputError("ai-edge-litert is not installed", hint="pip install 'squeezebert-edge[tflite]'")
    if not any(_environments()):
        raise UnavailableError("there is no Vulkan on this machine to run the GPU accelerator on", hint=HINT)


def export(
    request: ExportRequest, artifact: Artifact, units: Sequence[Unit], tell: Tell
) -> Iterator[tuple[Unit, UnitArtifact]]:
    """Find out which operators the GPU takes; it runs the artifact itself.

    Raises:
        UnavailableError: no Vulkan here serves the accelerator.
    """
    tell("loading it on the GPU")
    operators = count_operators(artifact.path)
    try:
        runner = _open(artifact.path)
    except ProcessError as error:
        delegation = _left_to_the_cpu(error.log)
        if delegation is None:
            raise
        log = error.log
    else:
        delegation, log = Delegation(operators, operators), runner.log()
        runner.close()
    adapter = re.search(r"Selected adapter: ([^,\n]+)", log)
    yield (
        GPU,
        UnitArtifact(
            files=dict.fromkeys(request.lengths, artifact.path),
            arithmetic="float16 where the GPU has it",
            delegation=delegation,
            partitions=1,
            versions={
                "ai-edge-litert": version("ai-edge-litert"),
                **({"adapter": adapter[1]} if adapter else {}),
            },
        ),
    )


def load(unit: Unit, files: Mapping[int, Path]) -> RunnerProcess:
    """Run a model on the GPU, in a process of its own.

    Raises:
        UnavailableError: no Vulkan here serves the accelerator.
        GateError: the accelerator refuses the model.
    """
    (path,) = set(files.values())
    try:
        return _open(path)
    except ProcessError as error:
        left = _left_to_the_cpu(error.log)
        if left is None:
            raise
        raise GateError(
            f"{path}: the GPU leaves {', '.join(left.outside)} to the CPU",
            hint="export it again with --unit gpu",
        ) from None


def _open(path: Path) -> RunnerProcess:
    """The model on the first Vulkan that serves."""
    for environment in _environments():
        with tempfile.TemporaryDirectory() as runtime_directory:
            own = {"XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR") or runtime_directory}
            try:
                return RunnerProcess(
                    "exporters.tflite.accelerator",
                    [str(path), str(GPU)],
                    environment={**own, **environment},
                    computed_by="webgpu",
                )
            except ProcessError as error:
                if not any(sign in error.log for sign in NO_VULKAN):
                    raise
    raise UnavailableError("no Vulkan on this machine serves LiteRT's GPU accelerator", hint=HINT)


def _environments() -> Iterator[dict[str, str]]:
    """What to set for each Vulkan there may be: the user's choice alone; else SwiftShader, the system's."""
    if sys.platform != "linux":
        yield {}
        return
    if os.environ.get("VK_DRIVER_FILES") or os.environ.get("VK_ICD_FILENAMES"):
        yield {"VK_DRIVER_FILES": os.environ.get("VK_DRIVER_FILES") or os.environ["VK_ICD_FILENAMES"]}
        return
    for driver in filter(os.path.exists, SOFTWARE_VULKAN):
        libraries = [str(Path(driver).parent), os.environ.get("LD_LIBRARY_PATH", "")]
        yield {"VK_DRIVER_FILES": driver, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries))}
    if any(any(Path(where).glob("*.json")) for where in SYSTEM_VULKAN):
        yield {}


def _left_to_the_cpu(log: str) -> Delegation | None:
    """What the accelerator said that it does not take, if this was its reason to refuse."""
    counts = re.search(r"(\d+) operations will run on the GPU, and the remaining (\d+) operations", log)
    if counts is None:
        return None
    listed = log[: counts.start()].rpartition("not supported by GPU delegate:")[2]
    names = tuple(sorted(set(re.findall(r"^([A-Z][A-Z0-9_]+):", listed, re.MULTILINE))))
    inside, outside = map(int, counts.groups())
    return Delegation(inside, inside + outside, outside=names)
