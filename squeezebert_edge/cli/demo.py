"""`squeezebert-edge demo`: bundles into the demo apps, and the Android one onto a phone."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from exporters.errors import InputError
from squeezebert_edge.cli import options, show


class System(StrEnum):
    """What a demo app runs on."""

    ANDROID = "android"
    IOS = "ios"


def demo(
    system: Annotated[System, typer.Argument(help="The app.")],
    bundles: options.BundlesArgument,
    project: Annotated[
        Path | None,
        typer.Option(
            "--project", metavar="DIR", help="The app's project.", show_default="./android_demo, ./ios_demo"
        ),
    ] = None,
    pack: Annotated[
        bool,
        typer.Option(
            "--ai-pack", help="Android: as a Play AI Pack, which gives each phone the files of its own chip."
        ),
    ] = False,
    libraries: Annotated[
        Path | None,
        typer.Option(
            "--npu-libraries",
            metavar="DIR",
            help="Android: also put the libraries of Qualcomm's NPUs there, from this directory.",
        ),
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Put the Android app, once it is built, on the phone at adb.")
    ] = False,
    apk: Annotated[
        Path | None,
        typer.Option(
            "--apk", metavar="FILE", help="The package to install.", show_default="what Gradle builds"
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="Which phone, where several are attached: android:SERIAL.")
    ] = "android",
    json: options.JsonOption = False,
) -> None:
    """Put bundles into a demo app's project, in place of those that were put there before."""
    from squeezebert_edge.verbs.demo import (
        BUILD_PACK,
        DEMOS,
        LIBRARIES,
        PACK,
        parse_phone,
        place,
        place_libraries,
        place_pack,
    )
    from squeezebert_edge.verbs.demo import install as put_on_phone

    if install and system is not System.ANDROID:
        raise InputError(
            "--install cannot put the iOS app on a phone",
            allowed="--install with android",
            hint="run the app from Xcode",
        )
    if (pack or libraries) and system is not System.ANDROID:
        raise InputError(
            "--ai-pack or --npu-libraries is given for iOS", allowed="either of them with android"
        )
    if pack and install:
        raise InputError(
            "--install puts one package on a phone, and an AI pack comes from Play",
            allowed="--install without --ai-pack",
            hint="android_demo/README.md says how a pack is tried without Play",
        )
    if not install and (apk or device != "android"):
        raise InputError(
            "--apk or --device is given without --install", allowed="either of them with --install"
        )
    if install:
        parse_phone(device)
    directory = project or DEMOS[system].directory
    with show.progress() as progress:
        placed = place_pack(directory, bundles) if pack else place(system, directory, bundles, progress)
    put = place_libraries(directory, libraries) if libraries else []
    where, following = DEMOS[system].bundles, DEMOS[system].next
    if pack:
        where, following = str(PACK), f"{BUILD_PACK} there, and upload what it makes to Play"
    facts = [
        (bundle.directory.name, bundle.manifest.task, bundle.manifest.precision.name, bundle.size)
        for bundle in placed
    ]
    if json:
        rows = [dict(zip(("name", "task", "precision", "bytes"), row, strict=True)) for row in facts]
        show.as_json({"system": system.value, "project": str(directory), "bundles": rows, "libraries": put})
    else:
        cells = [[*words, f"{size / 1e6:.1f}"] for *words, size in facts]
        show.table(f"in {directory / where}", ["name", "task", "precision", ">MB"], cells)
    if put:
        show.note(f"in {directory / LIBRARIES}: {', '.join(put)}")
    if not install:
        show.note(f"next: {following}")
        return
    with show.progress() as progress:
        phone = put_on_phone(directory, placed, apk=apk, device=device, progress=progress)
    show.note(f"the app runs on {phone}")
