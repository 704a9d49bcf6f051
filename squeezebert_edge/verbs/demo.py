"""Puts bundles into the projects of the demo apps, and the Android app on a phone."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.errors import GateError, InputError, UnavailableError
from squeezebert_edge.bundle.manifest import SEAL
from squeezebert_edge.bundle.opened import Bundle, open_bundle, open_bundles
from squeezebert_edge.devices.android import adb
from squeezebert_edge.devices.android.adb import Adb
from squeezebert_edge.devices.android.phone import find_serial
from squeezebert_edge.devices.demo_app import APP_ID
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix
from squeezebert_edge.plumbing.reading import read_json
from squeezebert_edge.plumbing.staging import stage_directory
from squeezebert_edge.verbs import ai_pack

PLACED = ".squeezebert-edge"  # lists the bundles put there; hidden, so that neither app takes it for one
APK = Path("app", "build", "outputs", "apk", "debug", "app-debug.apk")
BUILD = "./gradlew :app:assembleDebug"
PACK = Path("bundles_pack", "src", "main")  # of the Android project: its AI pack
BUILD_PACK = "./gradlew :app:bundleRelease"
LIBRARIES = Path("app", "src", "main", "jniLibs", "arm64-v8a")
# What an app needs beside LiteRT for Qualcomm's NPUs, and of each Hexagon a pair. None is ours to give.
QUALCOMM = ("libLiteRtDispatch_Qualcomm.so", "libQnnHtp.so", "libQnnSystem.so")
HEXAGON = re.compile(r"libQnnHtpV(\d+)(Stub|Skel)\.so")


@dataclass(frozen=True)
class Demo:
    """A demo app's project.

    directory: its path in a checkout. sign: a file by which it is known.
    bundles: the directory for its bundles. formats: those that the app runs. next: what its user does then.
    """

    directory: Path
    sign: str
    bundles: str
    formats: tuple[str, ...]
    next: str


DEMOS: Mapping[str, Demo] = {
    "android": Demo(
        Path("android_demo"),
        "core/build.gradle.kts",
        "app/src/main/assets/bundles",
        ("executorch", "tflite"),
        f"open it in Android Studio and run it; or {BUILD} there, and the same call with --install",
    ),
    "ios": Demo(
        Path("ios_demo"),
        "SqueezeBertKit/Package.swift",
        "App/Bundles",
        ("coreml", "executorch"),
        "open its SqueezeBertDemo.xcodeproj in Xcode and run it on an iPhone",
    ),
}


def place(
    system: str, project: Path, directories: Sequence[Path], progress: Progress = silent
) -> list[Bundle]:
    """Put copies of bundles into a demo app, all or none, in place of those that were put there before.

    What else is there stays.

    Args:
        system: a key of DEMOS. project: the app's directory.

    Returns:
        The copies.

    Raises:
        InputError: the project is not there or cannot be written to, a directory is no bundle, the app does
            not run it, or its name is taken.
    """
    target = _inside(system, project, Path(DEMOS[system].bundles))
    bundles = open_bundles(directories)
    placed = _put(system, target, bundles, progress)
    if (project / PACK / ai_pack.TARGETING).is_file():  # or the app would have bundles twice
        shutil.rmtree(_inside(system, project, PACK))
    return placed


def _put(system: str, target: Path, bundles: Sequence[Bundle], progress: Progress) -> list[Bundle]:
    names = [bundle.directory.name for bundle in bundles]
    earlier = {PLACED, *_read_placed(target)}
    kept = [path for path in (target.iterdir() if target.exists() else ()) if path.name not in earlier]
    _refuse(system, bundles, {path.name for path in kept})
    with stage_directory(target, marker=None, force=True) as staging:
        for path in kept:
            _copy(path, staging / path.name)
        for done, bundle in enumerate(bundles):
            progress("copying", done, len(bundles))
            _copy(bundle.directory, staging / bundle.directory.name)
            open_bundle(staging / bundle.directory.name)  # what was copied is what was checked
        (staging / PLACED).write_text(json.dumps(names) + "\n", encoding="utf-8")
    return [Bundle(target / bundle.directory.name, bundle.manifest) for bundle in bundles]


def place_pack(project: Path, directories: Sequence[Path]) -> list[Bundle]:
    """Put bundles into the Android demo's AI pack, in place of those that were put into it or into the app.

    Args:
        project: the app's directory.

    Returns:
        The bundles as they were given; each phone gets its own variant of them.

    Raises:
        InputError: as for `place`; or no bundle has a file for the NPU of a phone.
    """
    target = _inside("android", project, PACK)
    bundles = open_bundles(directories)
    _refuse("android", bundles, ())
    if not ai_pack.chips_of(bundles):
        raise InputError(
            "no bundle has a file for the NPU of a phone, so that the pack would be the same for all",
            hint="leave --ai-pack out, or export with --unit npu:CHIP",
        )
    with stage_directory(target, marker=ai_pack.TARGETING, force=True) as staging:
        targeting = ai_pack.lay_out(bundles, staging / "assets")
        (staging / ai_pack.TARGETING).write_text(targeting, encoding="utf-8")
    plain = _inside("android", project, Path(DEMOS["android"].bundles))
    if plain.exists():
        _put("android", plain, [], silent)
    return bundles


def place_libraries(project: Path, source: Path) -> list[str]:
    """Put the libraries of Qualcomm's NPUs into the Android demo, in place of those that are there.

    Args:
        project: the app's directory. source: the directory that has them, for arm64-v8a.

    Returns:
        Their names.

    Raises:
        InputError: that is not the project, or a library is missing.
    """
    target = _inside("android", project, LIBRARIES)
    there = {path.name for path in source.glob("lib*.so")} if source.is_dir() else set()
    versions = {found[1] for name in there if (found := HEXAGON.fullmatch(name))} or {"<number>"}
    pairs = {f"libQnnHtpV{version}{half}.so" for version in versions for half in ("Stub", "Skel")}
    missing = sorted({*QUALCOMM, *pairs} - there)
    if missing:
        raise InputError(
            f"{source} lacks {', '.join(missing)}",
            allowed=f"{', '.join(QUALCOMM)}, and Stub and Skel of the Hexagons of the phones",
            hint="android_demo/README.md says where they come from",
        )
    wanted = sorted({*QUALCOMM, *pairs})
    kept = [
        path
        for path in (target.iterdir() if target.exists() else ())
        if path.name not in QUALCOMM and not HEXAGON.fullmatch(path.name)
    ]
    with stage_directory(target, marker=None, force=True) as staging:
        for path in (*kept, *(source / name for name in wanted)):
            _copy(path, staging / path.name)
    return wanted


def parse_phone(device: str) -> str | None:
    """The serial in a --device that is one Android phone; None for the only one attached.

    Raises:
        InputError: it is no Android phone, or all of them.
    """
    name, _, address = device.partition(":")
    if name != "android" or address == "all":
        raise InputError(f"--install is not possible on {device}", allowed="android[:SERIAL]")
    return address or None


def install(
    project: Path,
    bundles: Sequence[Bundle],
    *,
    apk: Path | None = None,
    device: str = "android",
    progress: Progress = silent,
) -> str:
    """Put the Android app on a phone and start it; returns the phone's serial.

    Args:
        bundles: as `place` gave them; an app that was built before they were in its project is refused.
        apk: the app's package; by default the one that Gradle builds.
        device: the phone, as --device names it.

    Raises:
        InputError: several phones are attached and none is named, or the device is no phone.
        UnavailableError: the app is not there or lacks a bundle, or no phone is ready or takes the app.
        GateError: the app does not start.
    """
    package = apk or project / APK
    address = parse_phone(device)
    lacking = [bundle.directory.name for bundle in bundles if not _has(package, bundle)]
    if lacking:
        raise UnavailableError(
            f"{package} does not hold {', '.join(lacking)}" if package.exists() else f"there is no {package}",
            hint=f"{BUILD} in {project}, which needs the Android SDK; then this again",
        )
    phone = Adb(find_serial(address))
    limit = adb.CALL + package.stat().st_size / adb.SLOWEST
    telling = with_prefix("installing", progress)
    installed = adb.call("install", "-r", str(package), serial=phone.serial, limit=limit, progress=telling)
    if installed.status or "Failure" in installed.output:
        raise UnavailableError(
            f"{phone.serial} does not take the app: {installed.last_line}",
            hint=f"if another builder's is there: adb uninstall {APP_ID}",
        )
    started = phone.shell(f"am start -W -n {APP_ID}/.MainActivity", progress=progress)
    if started.status or "Error" in started.output:
        raise GateError(
            f"the app does not start: {started.last_line}", hint="unlock the phone and start it there"
        )
    return phone.serial


def _inside(system: str, project: Path, place: Path) -> Path:
    """A directory of an app's project.

    Raises:
        InputError: that is not the project, or a link is on the way.
    """
    demo = DEMOS[system]
    if not (project / demo.sign).is_file():
        raise InputError(
            f"{project} is not the {system} demo: there is no {demo.sign} in it",
            allowed=f"{demo.directory} of a checkout of squeezebert-edge, which no installed package has",
            hint="--project DIR",
        )
    target = project / place
    if target.resolve() != project.resolve() / place or (target.exists() and not target.is_dir()):
        raise InputError(
            f"{target} is a link or no directory, so that nothing is put there", hint="remove it"
        )
    return target


def _refuse(system: str, bundles: Sequence[Bundle], others: Collection[str]) -> None:
    """Raise InputError for bundles that the app does not run, or whose names are taken."""
    formats = DEMOS[system].formats
    for bundle in bundles:
        name = bundle.directory.name
        if bundle.manifest.format not in formats:
            raise InputError(
                f"{bundle.directory}: the {system} app does not run {bundle.manifest.format}",
                allowed=", ".join(formats),
            )
        if name.startswith((".", "_")):
            raise InputError(
                f"{bundle.directory}: build tools leave out names like {name}",
                allowed="a name that begins with neither . nor _",
            )
        if name in others:
            raise InputError(
                f"{name} is in the project, and not from `demo`, which does not replace it",
                hint="remove it yourself, or rename your bundle's directory",
            )
    twice = [
        name for name, count in Counter(bundle.directory.name for bundle in bundles).items() if count > 1
    ]
    if twice:
        raise InputError(
            f"several bundles are named {', '.join(twice)}", hint="rename the directories of some"
        )


def _read_placed(target: Path) -> list[str]:
    """The names of the bundles that were put there before."""
    try:
        found = read_json(target / PLACED)
    except InputError:
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _copy(source: Path, target: Path) -> None:
    """Copy a file, a link as such, or a directory; errors are the system's own, unlike shutil.copytree's."""
    if source.is_dir() and not source.is_symlink():
        target.mkdir()
        for path in source.iterdir():
            _copy(path, target / path.name)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _has(package: Path, bundle: Bundle) -> bool:
    """Whether an app's package holds this bundle as it is."""
    seal = f"assets/bundles/{bundle.directory.name}/{SEAL}"
    try:
        with zipfile.ZipFile(package) as archive:
            return archive.read(seal) == f"{bundle.seal}\n".encode()
    except (OSError, KeyError, zipfile.BadZipFile):
        return False
