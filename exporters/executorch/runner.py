"""An ExecuTorch program (.pte) opened and run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from exporters.errors import InputError
from exporters.imports import without_init
from exporters.lengths import by_length, entry_point
from exporters.quiet import quiet_runtime, quiet_tools
from exporters.spec import ComputedBy
from exporters.tensors import length_of

if TYPE_CHECKING:
    from exporters.arrays import Array


RUNTIMES = ("executorch",)
COMPILER = "executorch.exir"  # takes seconds to import, and the runtime does so for one kind of warning


class ThreadPool:
    """The one pool of threads that every ExecuTorch program of the process runs on.

    XNNPACK keeps the pool that stood when a method was loaded, so a method must not run after the pool was
    replaced (it would crash): `generation` counts the replacements.
    """

    generation = 0

    @classmethod
    def resize(cls, threads: int) -> int:
        """Have this many threads, and give back the generation of the pool that has them."""
        from executorch.extension.pybindings import portable_lib

        if portable_lib._threadpool_get_thread_count() != threads:
            with quiet_runtime():
                portable_lib._unsafe_reset_threadpool(threads)
            cls.generation += 1
        return cls.generation


class ExecuTorchRunner:
    """A loaded program. A length's method is loaded when it is first called.

    Not to be called from several threads at once. `threads` is the size of a pool that the whole process
    shares: runners of different sizes take turns, each loading its methods again, and a program that other
    code has loaded must be loaded again after this one.

    Raises:
        InputError: not a program of this package, or a damaged one.
    """

    computed_by: ComputedBy = "runtime"

    def __init__(self, path: Path, threads: int) -> None:
        self.path, self.threads = path, threads
        with quiet_runtime():  # the pool is made by who first asks for its size
            self._generation = ThreadPool.resize(threads)
        self._program = self._open()
        self.lengths: tuple[int, ...] = tuple(by_length(self._program.method_names))
        if not self.lengths or not {"input_names", "output_names"} <= self._program.method_names:
            raise InputError(
                f"{path}: methods {', '.join(sorted(self._program.method_names))}",
                allowed="methods length_<S>, input_names and output_names, as export writes them",
            )
        self.inputs: tuple[str, ...] = tuple(self._execute("input_names", []))
        self.outputs: tuple[str, ...] = tuple(self._execute("output_names", []))

    def _open(self) -> Any:
        from executorch.runtime import Runtime, Verification

        self._loaded: dict[str, Any] = {}
        try:
            with quiet_runtime():
                return Runtime.get().load_program(self.path, verification=Verification.InternalConsistency)
        except RuntimeError as error:
            raise self._damaged(error) from error

    def _execute(self, method: str, inputs: list[Tensor]) -> list[Any]:
        try:
            if method not in self._loaded:
                with quiet_runtime():
                    self._loaded[method] = self._program.load_method(method)
            return list(self._loaded[method].execute(inputs))
        except (RuntimeError, ValueError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> InputError:
        return InputError(
            f"{self.path}: ExecuTorch cannot read it ({error})", hint="the file is damaged: export it again"
        )

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for one row: name -> (1, length) int32 in, name -> float32 out.

        Raises:
            InputError: other inputs than the program has, or a length that it does not have.
        """
        length = length_of(inputs, self.inputs, self.lengths)
        generation = ThreadPool.resize(self.threads)
        if generation != self._generation:
            self._program, self._generation = self._open(), generation
        tensors = [torch.tensor(inputs[name]) for name in self.inputs]
        outputs = self._execute(entry_point(length), tensors)
        return {name: output.numpy() for name, output in zip(self.outputs, outputs, strict=True)}


def load(path: Path, *, threads: int = 1, runtime: str | None = None) -> ExecuTorchRunner:
    """Open a program.

    Args:
        path: as written by `export`.
        threads: see ExecuTorchRunner.
        runtime: one of RUNTIMES.

    Raises:
        InputError: no threads, an unknown runtime, a file that is not there, or one that is no such program.
    """
    if threads < 1:
        raise InputError(f"{threads} threads", allowed="1 or more")
    if runtime not in (None, *RUNTIMES):
        raise InputError(f"unknown runtime '{runtime}'", allowed=", ".join(RUNTIMES))
    if not path.is_file():
        raise InputError(f"{path}: no such file", hint="export a model first")
    with quiet_tools(), quiet_runtime(), without_init(COMPILER):
        import executorch.kernels.quantized
        import executorch.runtime  # noqa: F401
    return ExecuTorchRunner(path, threads)
