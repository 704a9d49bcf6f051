"""A LiteRT model (.tflite) opened and run."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.errors import InputError
from exporters.lengths import by_length
from exporters.quiet import quiet_runtime, quiet_tools
from exporters.spec import ComputedBy
from exporters.tensors import length_of

if TYPE_CHECKING:
    from exporters.arrays import Array


RUNTIMES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}  # the preferred one first


EXTRAS = {"ai-edge-litert": "tflite", "tflite-runtime": "tflite-runtime"}


class LiteRTRunner:
    """A loaded model, run by one of RUNTIMES. Not to be called from several threads at once.

    Raises:
        InputError: not a model of this package, or a damaged one.
    """

    computed_by: ComputedBy = "runtime"

    def __init__(self, path: Path, threads: int, interpreter: Any) -> None:
        self.path = path
        try:
            self._open(threads, interpreter)
        except (ValueError, RuntimeError) as error:
            raise self._damaged(error) from error

    def _open(self, threads: int, interpreter: Any) -> None:
        with quiet_runtime():
            opened = interpreter(str(self.path), num_threads=threads)
            opened.allocate_tensors()
        signatures = list(opened.get_signature_list())
        found = by_length(signatures)
        self._runners = {length: opened.get_signature_runner(name) for length, name in found.items()}
        if not self._runners:
            raise InputError(
                f"{self.path}: signatures {', '.join(signatures) or 'none'}",
                allowed="signatures length_<S>, as export writes them",
            )
        self.lengths: tuple[int, ...] = tuple(self._runners)
        # A signature lists its names by the alphabet; the tensors of the first stand in the module's order.
        first = next(iter(self._runners.values()))
        self.inputs = _in_order(first.get_input_details(), opened.get_input_details())
        self.outputs = _in_order(first.get_output_details(), opened.get_output_details())

    def _damaged(self, error: Exception) -> InputError:
        return InputError(
            f"{self.path}: LiteRT cannot read it ({error})", hint="the file is damaged: export it again"
        )

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for one row: name -> (1, length) int32 in, name -> float32 out.

        Raises:
            InputError: other inputs than the model has, or a length that it does not have.
        """
        length = length_of(inputs, self.inputs, self.lengths)
        try:
            outputs = self._runners[length](**inputs)
        except (ValueError, RuntimeError) as error:
            raise self._damaged(error) from error
        return {name: outputs[name] for name in self.outputs}


def _in_order(named: Mapping[str, Any], ordered: list[Any]) -> tuple[str, ...]:
    indices = [tensor["index"] for tensor in ordered]
    return tuple(sorted(named, key=lambda name: indices.index(named[name]["index"])))


def load(path: Path, *, threads: int = 1, runtime: str | None = None) -> LiteRTRunner:
    """Open a model.

    Args:
        path: as written by `export`.
        threads: of the interpreter.
        runtime: one of RUNTIMES; by default the first one that is installed.

    Raises:
        InputError: no threads, an unknown runtime or one that is not installed, a file that is not there, or
            one that is not such a model.
    """
    if threads < 1:
        raise InputError(f"{threads} threads", allowed="1 or more")
    if runtime not in (None, *RUNTIMES):
        raise InputError(f"unknown runtime '{runtime}'", allowed=", ".join(RUNTIMES))
    if not path.is_file():
        raise InputError(f"{path}: no such file", hint="export a model first")
    wanted = [runtime] if runtime else list(RUNTIMES)
    installed = [name for name in wanted if importlib.util.find_spec(RUNTIMES[name])]
    if not installed:
        hints = [f"pip install 'squeezebert-edge[{EXTRAS[name]}]'" for name in wanted]
        raise InputError(f"{' or '.join(wanted)} is not installed", hint=" or ".join(hints))
    if installed[0] == "tflite-runtime" and np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        raise InputError(
            f"tflite-runtime {version('tflite-runtime')} needs NumPy 1; this is NumPy {np.__version__}",
            hint="pip install 'squeezebert-edge[tflite-runtime]' in an environment of its own",
        )
    with quiet_tools():
        module = importlib.import_module(f"{RUNTIMES[installed[0]]}.interpreter")
    return LiteRTRunner(path, threads, module.Interpreter)
