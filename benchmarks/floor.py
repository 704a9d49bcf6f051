"""How far the network is from the least time its arithmetic can take in a runtime, on this machine.

A runtime's best rate is measured in the same run, on chains of dense products of several widths. The floor is
the network's operations at these rates: products with weights at the precision's, attention's two products
at float32's. The products with weights are timed by themselves too, SqueezeBERT's and BERT-base's, with
nothing between them: grouped products should reach the rate of dense ones.

    python benchmarks/floor.py [--format tflite] [--precision int8] [--threads 1 --threads 2] [--rounds 12]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from pathlib import Path

import torch
from latency import GROUPS, LENGTH, Contender, load, machine, measure, ours, request_at, versions
from torch import Tensor, nn

import exporters
from squeezebert_edge.forms import choices

WIDTH, INNER, LAYERS = 768, 3072, 12
WHOLE = LAYERS - 1  # layers that compute every token; of the last, every key and value, and the first token
ATTENTION = 2 * (2 * LENGTH * LENGTH * WIDTH) * WHOLE  # operations of the scores and of the context
KEYS_AND_VALUES = 2 * LENGTH * WIDTH * 2 * WIDTH // 4  # of the last layer, in 4 groups
ALONE = 4  # layers of a network of products alone
CHAINS = ((192, 768), (768, 768), (768, 3072), (1024, 1024))  # widths between which a chain goes to and fro


class Grouped(nn.Module):
    """A product of so many groups, of which the first channels of each are kept."""

    def __init__(self, groups: int, inputs: int, outputs: int, kept: int) -> None:
        super().__init__()
        self.inputs, self.kept = inputs // groups, kept // groups
        self.groups = nn.ModuleList(nn.Linear(inputs // groups, outputs // groups) for _ in range(groups))

    def forward(self, x: Tensor) -> Tensor:
        """(1, S, inputs) -> (1, S, kept)."""
        parts = [x] if len(self.groups) == 1 else self._parts(x)
        outputs = [product(part)[..., : self.kept] for product, part in zip(self.groups, parts, strict=True)]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)

    def _parts(self, x: Tensor) -> list[Tensor]:
        return [x.narrow(-1, i * self.inputs, self.inputs) for i in range(len(self.groups))]


class Products(nn.Module):
    """Products (groups, inputs, outputs), each over the first channels of what the one before gives."""

    def __init__(self, products: list[tuple[int, int, int]]) -> None:
        super().__init__()
        self.words = nn.Embedding(2, products[0][1])
        wanted = [inputs for _, inputs, _ in products[1:]] + [products[-1][2]]
        self.products = nn.Sequential(
            *(Grouped(*product, kept) for product, kept in zip(products, wanted, strict=True))
        )
        self.operations = sum(2 * LENGTH * inputs * outputs // groups for groups, inputs, outputs in products)

    def forward(self, input_ids: Tensor, _: Tensor, __: Tensor) -> tuple[Tensor]:
        """(1, S) each -> (1, C)."""
        return (self.products(self.words(input_ids % 2))[:, 0],)  # (1, S, C) -> (1, C)


def of_network(groups: int) -> Products:
    """A few layers: queries, keys and values as one, post-attention, the feed-forward part's two."""
    layer = [
        (groups, WIDTH, 3 * WIDTH),
        (1, WIDTH, WIDTH),
        (groups, WIDTH, INNER),
        (groups, INNER, WIDTH),
    ]
    return Products(layer * ALONE)


def chain(narrow: int, wide: int) -> Products:
    """Dense products to and fro between two widths."""
    return Products([(1, narrow, wide), (1, wide, narrow)] * 4)


def contender(format_: str, exact: str, name: str, module: Products) -> Contender:
    """Something that is timed: products, in a runtime and a precision."""

    def build(directory: Path) -> Path:
        exporter = exporters.get(format_, to_export=True)
        path = directory / f"{name}-{exact}-{exporter.file_name}"
        if not path.exists():
            exporter.export(request_at([LENGTH], module, exact), path)
        return path

    return Contender(GROUPS[format_], name, build, load(format_))


def measured(
    format_: str, precision: str, threads: int, rounds: int, directory: Path
) -> tuple[list[str], dict[str, float]]:
    """Rows of the table for the products, and in ms or operations a second what the floor is made of."""
    torch.manual_seed(0)
    exact = choices.exact_precision(format_, precision).name
    modules = {f"chain {narrow} to {wide}": (exact, chain(narrow, wide)) for narrow, wide in CHAINS}
    if exact != "fp32":
        modules |= {f"{name} in float32": ("fp32", module) for name, (_, module) in modules.items()}
    modules |= {
        "SqueezeBERT's products": (exact, of_network(4)),
        "BERT-base's products": (exact, of_network(1)),
    }
    contenders = [contender(format_, kind, name, module) for name, (kind, module) in modules.items()]
    contenders.append(ours(format_, precision))
    paths = [contender.build(directory) for contender in contenders]
    *times, whole = (statistics.median(taken) for taken in measure(contenders, paths, threads, rounds))
    rates = {
        name: module.operations / median * 1e3
        for (name, (_, module)), median in zip(modules.items(), times, strict=True)
    }
    rows = [
        f"| {GROUPS[format_]} {precision} | {threads} | {name} | {median:.2f} | {rates[name] / 1e9:.0f} |"
        for name, median in zip(modules, times, strict=True)
    ]
    chains = {name: rate for name, rate in rates.items() if name.startswith("chain")}
    weights = of_network(4).operations * WHOLE / ALONE + KEYS_AND_VALUES
    best = max(rate for name, rate in chains.items() if not name.endswith("float32"))
    best_float = max((rate for name, rate in chains.items() if name.endswith("float32")), default=best)
    return rows, {
        "whole": whole,
        "floor": 1e3 * (weights / best + ATTENTION / best_float),
        "share": rates["SqueezeBERT's products"] / rates["BERT-base's products"],
    }


def main() -> None:
    """Build what is missing, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", action="append", choices=sorted(GROUPS))
    parser.add_argument("--precision", action="append", choices=["fp32", "int8"])
    parser.add_argument("--threads", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--artifacts", type=Path, help="keep artifacts here, and take those that are there")
    options = parser.parse_args()
    told = []
    print("| runtime | threads | products | median ms | Gop/s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.artifacts or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        for format_ in options.format or GROUPS:
            for precision in options.precision or ["fp32", "int8"]:
                for threads in options.threads or [1, 2]:
                    rows, found = measured(format_, precision, threads, options.rounds, directory)
                    print("\n".join(rows))
                    told.append(
                        f"- {GROUPS[format_]} {precision}, {threads} threads: {found['whole']:.1f} ms, "
                        f"{found['whole'] / found['floor']:.2f} times the floor of {found['floor']:.1f} ms; "
                        f"its products run at {found['share']:.2f} of the rate of BERT-base's"
                    )
    print("\n" + "\n".join(told))
    print(f"- {LENGTH} tokens, batch 1; {options.rounds} rounds, interleaved; products alone: {ALONE} layers")
    print(f"- {machine()}; load {os.getloadavg()[0]:.1f} at the end; Python {platform.python_version()}")
    print(f"- {versions()}")


if __name__ == "__main__":
    main()
