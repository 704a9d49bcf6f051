"""The commands: a file per verb, each a few lines over functions that a library user can call."""

from __future__ import annotations

from typing import Annotated

import typer

from squeezebert_edge import __version__
from squeezebert_edge.cli.bench import bench
from squeezebert_edge.cli.convert import convert
from squeezebert_edge.cli.demo import demo
from squeezebert_edge.cli.devices import devices
from squeezebert_edge.cli.evaluate import evaluate
from squeezebert_edge.cli.export import export
from squeezebert_edge.cli.inspect import inspect
from squeezebert_edge.cli.predict import predict
from squeezebert_edge.cli.report import report
from squeezebert_edge.cli.run import run
from squeezebert_edge.cli.sensitivity import sensitivity
from squeezebert_edge.cli.train import train
from squeezebert_edge.cli.tune import tune
from squeezebert_edge.cli.verify import verify

app = typer.Typer(
    name="squeezebert-edge",
    help="SqueezeBERT checkpoints on phones: export, proof and measurement.",
    epilog="Exit codes: 0 done; 1 a gate failed; 2 the input or the call is wrong; 3 it cannot be done here.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
PANELS = {
    "Make and prove": (run, export, verify),
    "Measure": (evaluate, bench, tune, sensitivity, devices, report),
    "Use": (predict, demo),
    "Checkpoints": (inspect, convert, train),
}
for panel, verbs in PANELS.items():
    for verb in verbs:
        app.command(rich_help_panel=panel)(verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """SqueezeBERT checkpoints on phones: export, proof and measurement."""
