"""Bundles as a Play AI Pack: Play gives each phone the file of its own chip, and no other's.

The layout is that of ai_edge_litert.aot.ai_pack.export_lib, with whole bundles where that has single models:
a directory `bundles#group_<MAKER>_<CHIP>` for each chip, and `bundles#group_other`; apps see `bundles`.
https://developer.android.com/google/play/on-device-ai
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from exporters.tflite.chips import CHIPS, Chip
from exporters.units import parse_unit
from squeezebert_edge.bundle.manifest import MANIFEST, SEAL, write_manifest
from squeezebert_edge.bundle.opened import Bundle, open_bundle

TARGETING = "device_targeting_configuration.xml"
OTHERS = "other"  # the group of phones that are in none
# By LiteRT's name of a vendor: in a group's name, and as phones say it (`Build.SOC_MANUFACTURER`).
MAKERS = {
    "qualcomm": ("Qualcomm", ("Qualcomm", "QTI")),
    "mediatek": ("Mediatek", ("Mediatek",)),
    "google_tensor": ("Google", ("Google",)),
    "samsung": ("Samsung", ("Samsung",)),
}
NO_PHONES = ("SA8255", "SA8295")  # for cars


def lay_out(bundles: Sequence[Bundle], assets: Path) -> str:
    """Write every bundle into the directory of each group, with what the phones of that group may run.

    Args:
        assets: of the pack's module; it is there and empty.

    Returns:
        The content of TARGETING, which says what phones are in which group.
    """
    chips = chips_of(bundles)
    for group, chip in {OTHERS: None, **{_group(chip): chip for chip in chips}}.items():
        for bundle in bundles:
            _write_variant(bundle, chip, assets / f"bundles#group_{group}" / bundle.directory.name)
    return _targeting(chips)


def chips_of(bundles: Sequence[Bundle]) -> list[Chip]:
    """The phones' chips that any of the bundles has a file for."""
    named = {parse_unit(name).chip for bundle in bundles for name in bundle.manifest.units}
    return [
        chip
        for name, chip in CHIPS.items()
        if name in named and chip.vendor in MAKERS and name not in NO_PHONES
    ]


def _group(chip: Chip) -> str:
    return f"{MAKERS[chip.vendor][0]}_{chip.name}"


def _write_variant(bundle: Bundle, chip: Chip | None, target: Path) -> None:
    """The bundle without the files of other chips, which is a bundle of its own."""
    manifest = bundle.manifest
    mine = f"npu:{chip.name}" if chip else None
    units = {name: unit for name, unit in manifest.units.items() if name in (mine, "gpu")}
    kept = {file for unit in units.values() for file in unit.files.values()} | {manifest.artifact}
    left = {file for unit in manifest.units.values() for file in unit.files.values()} - kept
    target.mkdir(parents=True)
    for file in manifest.files:
        if file not in left:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(bundle.directory / file, target / file)
    if units.keys() == manifest.units.keys():
        for file in (MANIFEST, SEAL):
            shutil.copy2(bundle.directory / file, target / file)
    else:
        write_manifest(target, manifest.model_dump(exclude={"schema_version", "files"}) | {"units": units})
    open_bundle(target)  # what was copied is what was checked


def _targeting(chips: Sequence[Chip]) -> str:
    groups = []
    for chip in chips:
        model = chip.name.replace("_", " ") if chip.vendor == "google_tensor" else chip.name
        selectors = "".join(
            "        <config:device-selector>\n"
            f"            <config:system-on-chip manufacturer={quoteattr(maker)} model={quoteattr(model)}/>\n"
            "        </config:device-selector>\n"
            for maker in MAKERS[chip.vendor][1]
        )
        groups.append(
            f"    <config:device-group name={quoteattr(_group(chip))}>\n{selectors}"
            "    </config:device-group>\n"
        )
    return (
        '<config:device-targeting-config xmlns:config="http://schemas.android.com/apk/config">\n'
        f"{''.join(groups)}</config:device-targeting-config>\n"
    )
