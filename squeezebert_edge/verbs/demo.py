"""Bundles put into the projects of the demo apps, and the Android app put on a phone."""

from __future__ import annotations

import json
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
from squeezebert_edge.devices.android import phone as android_phone
from squeezebert_edge.devices.android.adb import Adb
from squeezebert_edge.devices.demo_app import APP
from squeezebert_edge.plumbing.progress import Progress, silent, with_prefix
from squeezebert_edge.plumbing.staging import stage_directory

PUT = ".squeezebert-edge"  # lists what was put there; hidden, so that neither app takes it for a bundle
APK = Path("app", "build", "outputs", "apk", "debug", "app-debug.apk")
BUILD = "./gradlew :app:assembleDebug"


@dataclass(frozen=True)
class Demo:
    """A demo app's project.

    directory: where it is in a checkout. sign: a file by which it is known.
    bundles: where its bundles go. formats: what the app runs. next: what its user does then.
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

    Raises:
        InputError: no such project, no bundle, one that the app does not run, a name that is taken, or a
            place that cannot be written.
    """
    demo = DEMOS[system]
    if not (project / demo.sign).is_file():
        raise InputError(
            f"{project} is not the {system} demo: no {demo.sign} in it",
            allowed=f"{demo.directory} of a checkout of squeezebert-edge, which no installed package has",
            hint="--project DIR",
        )
    target = project / demo.bundles
    if target.resolve() != project.resolve() / demo.bundles or (target.exists() and not target.is_dir()):
        raise InputError(f"{target} is a link or no directory: bundles are not put there", hint="remove it")
    bundles = open_bundles(directories)
    names = [bundle.directory.name for bundle in bundles]
    earlier = {PUT, *_put_before(target)}
    kept = [path for path in (target.iterdir() if target.exists() else ()) if path.name not in earlier]
    _refuse(system, bundles, {path.name for path in kept})
    with stage_directory(target, marker=None, force=True) as staging:
        for path in kept:
            _copy(path, staging / path.name)
        for done, bundle in enumerate(bundles):
            progress("copying", done, len(bundles))
            _copy(bundle.directory, staging / bundle.directory.name)
            open_bundle(staging / bundle.directory.name)  # what was copied is what was checked
        (staging / PUT).write_text(json.dumps(names) + "\n", encoding="utf-8")
    return [Bundle(target / bundle.directory.name, bundle.manifest) for bundle in bundles]


def phone_named(device: str) -> str | None:
    """The serial in a --device that is one Android phone, null for the only one attached.

    Raises:
        InputError: something else than a phone, or all of them.
    """
    name, _, address = device.partition(":")
    if name != "android" or address == "all":
        raise InputError(f"--install on {device}", allowed="android[:SERIAL]")
    return address or None


def install(
    project: Path,
    bundles: Sequence[Bundle],
    *,
    apk: Path | None = None,
    device: str = "android",
    progress: Progress = silent,
) -> str:
    """Put the Android app on a phone and start it; gives the phone's serial.

    Args:
        bundles: as `place` gave them; an app that was built before they were in its project is refused.
        apk: the app's package; by default the one that Gradle builds.
        device: which phone, as --device names it.

    Raises:
        InputError: several phones and none is named, or something else than a phone is.
        UnavailableError: no app that has these bundles, no phone that is ready, or it does not take the app.
    """
    package = apk or project / APK
    address = phone_named(device)
    lacking = [bundle.directory.name for bundle in bundles if not _has(package, bundle)]
    if lacking:
        raise UnavailableError(
            f"{package} does not hold {', '.join(lacking)}" if package.exists() else f"no {package}",
            hint=f"{BUILD} in {project}, which needs the Android SDK; then this again",
        )
    phone = Adb(android_phone.chosen(address))
    limit = adb.CALL + package.stat().st_size / adb.SLOWEST
    telling = with_prefix("installing", progress)
    said = adb.call("install", "-r", str(package), serial=phone.serial, limit=limit, progress=telling)
    if said.status or "Failure" in said.text:
        raise UnavailableError(
            f"{phone.serial} does not take the app: {_last(said.text)}",
            hint=f"if another builder's is there: adb uninstall {APP}",
        )
    started = phone.shell(f"am start -W -n {APP}/.MainActivity", progress=progress)
    if started.status or "Error" in started.text:
        raise GateError(
            f"the app does not start: {_last(started.text)}", hint="unlock the phone and start it there"
        )
    return phone.serial


def _refuse(system: str, bundles: Sequence[Bundle], others: Collection[str]) -> None:
    """Raise InputError for bundles that the app does not run, or whose names would meet."""
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
                f"{name}: build tools leave out such a name", allowed="one that begins otherwise"
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
        raise InputError(f"several bundles named {', '.join(twice)}", hint="rename the directories of some")


def _put_before(target: Path) -> list[str]:
    try:
        found = json.loads((target / PUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _copy(source: Path, target: Path) -> None:
    """Copy a file, a link as such, or a directory; an error is the system's own, unlike shutil.copytree's."""
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
            return archive.read(seal) == (bundle.directory / SEAL).read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def _last(text: str) -> str:
    return text.splitlines()[-1][-300:] if text else "adb said nothing"
