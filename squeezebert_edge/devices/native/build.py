"""Makes a kit for arm64 Android from the wheels of ExecuTorch and LiteRT: the build `glibc`, cross-compiled.

It needs CMake and a cross compiler with its C library (Debian: cmake, g++-aarch64-linux-gnu), and once the
network, for the wheels. docs/native_runner.md says how the build `bionic` is made, which this does not do.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from exporters.errors import GateError, UnavailableError
from squeezebert_edge.devices import native
from squeezebert_edge.plumbing.staging import refuse_existing, stage_directory

COMPILER = "aarch64-linux-gnu-g++"
LOADER = "ld-linux-aarch64.so.1"
C_LIBRARY = (
    LOADER,
    *(f"lib{name}" for name in ("c.so.6", "m.so.6", "dl.so.2", "pthread.so.0", "rt.so.1")),
    *(f"lib{name}" for name in ("gcc_s.so.1", "stdc++.so.6")),
)
EXECUTORCH = tuple(
    f"libexecutorch{part}.so"
    for part in ("", "_threadpool", "_kernels_optimized", "_kernels_quantized", "_backend_xnnpack")
)
LITERT = ("libLiteRt.so",)
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")


def make(directory: Path, wheels: Path | None = None) -> None:
    """Write a kit.

    Args:
        directory: is made, whole or not at all.
        wheels: a directory with the aarch64 wheels; by default those of the versions installed here are
            downloaded.

    Raises:
        InputError: the directory exists.
        UnavailableError: there is no compiler, no CMake or no wheel.
        GateError: a command fails.
    """
    for program in (COMPILER, "cmake"):
        if shutil.which(program) is None:
            raise UnavailableError(
                f"{program} is not installed", hint="Debian: apt-get install cmake g++-aarch64-linux-gnu"
            )
    refuse_existing(directory, marker=native.KIT, force=False)
    versions = {name: _version(name) for name in ("executorch", "ai-edge-litert")}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        if wheels is None:
            wheels = work / "wheels"
            for name, number in versions.items():
                _run(*_download(name, number, wheels))
        for wheel in wheels.glob("*aarch64.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(work)
        _run(
            "cmake", "-S", str(Path(__file__).parent), "-B", str(work / "build"),
            f"-DEXECUTORCH={work / 'executorch'}", f"-DLITERT={work / 'ai_edge_litert'}",
            f"-DCMAKE_CXX_COMPILER={COMPILER}", "-DCMAKE_SYSTEM_NAME=Linux",
        )  # fmt: skip
        _run("cmake", "--build", str(work / "build"))
        kit = native.Kit(
            abi="arm64-v8a",
            libc="glibc",
            loader=LOADER,
            programs={
                "executorch": native.Program(
                    runtime="executorch",
                    version=versions["executorch"],
                    program="runner_executorch",
                    files=[*EXECUTORCH, *C_LIBRARY],
                ),
                "tflite": native.Program(
                    runtime="litert",
                    version=versions["ai-edge-litert"],
                    program="runner_litert",
                    files=[*LITERT, *C_LIBRARY],
                ),
            },
        )
        sources = [work / "executorch" / "lib" / name for name in EXECUTORCH]
        sources += [work / "ai_edge_litert" / name for name in LITERT]
        sources += [work / "build" / program.program for program in kit.programs.values()]
        sources += [_of_compiler(name) for name in C_LIBRARY]
        with stage_directory(directory, marker=native.KIT, force=False) as filled:
            for source in sources:
                shutil.copy(source, filled / source.name)
            (filled / native.KIT).write_text(kit.model_dump_json(indent=2), encoding="utf-8")


def _download(name: str, number: str, to: Path) -> list[str]:
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    return [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *platforms,
        "--dest", str(to), f"{name}=={number}",
    ]  # fmt: skip


def _of_compiler(name: str) -> Path:
    """A file of the C library that the compiler links against."""
    found = subprocess.run([COMPILER, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = Path(found.stdout.strip())
    if not path.is_absolute():
        raise UnavailableError(f"{COMPILER} has no {name}", hint="Debian: libc6-arm64-cross")
    return path


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GateError(f"{' '.join(command[:4])} ... failed: {(done.stderr or done.stdout)[-800:]}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise UnavailableError(f"{package} is not installed", hint=f"pip install {package}") from None
