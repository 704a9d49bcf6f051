"""Builds the Android demo without Gradle and without an SDK: its classes, and an APK.

Needs what android_platform.sh fetched, in the directory that SQUEEZEBERT_EDGE_ANDROID names, and what
kotlin.py needs. Classes are compiled against the framework's public API and the runtimes' signatures in
stubs/android. The APK has the app and core; it lacks the runtimes and Kotlin's library, which take
half a minute to convert and show nothing. It proves the packaging, and is not to be installed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from tests.toolchains import android_api, android_stubs, class_files, kotlin

DEMO = Path(__file__).parents[2] / "android_demo"
APP = DEMO / "app" / "src"
MAIN = APP / "main"
STUBS = Path(__file__).parent / "stubs" / "android"
PACKAGE = "io.squeezebert.edge.demo"
VARIABLE = "SQUEEZEBERT_EDGE_ANDROID"
# They run too short for the JVM's second compiler to pay.
_SHORT = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
# dx knows no invokedynamic that a phone of minSdk could run, and no class file newer than Java 8's.
_FOR_DX = ("-Xlambdas=class", "-Xsam-conversions=class", "-Xstring-concat=inline")


def platform() -> Path | None:
    """The directory that tests/toolchains/android_platform.sh filled; None where that was not done."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named and (Path(named) / "api.txt").exists() else None


def sources_hash(found: Path) -> str:
    """A hash of what the compiled classes depend on."""
    digest = hashlib.sha256(kotlin.sources_hash().encode() + (found / "api.txt").read_bytes())
    own = [Path(module.__file__) for module in (android_api, android_stubs)]
    for path in sorted([*own, *_files(DEMO / "app"), *_files(STUBS), DEMO / "gradle" / "libs.versions.toml"]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def gradle(name: str) -> str:
    """What app/build.gradle.kts says of a setting."""
    found = re.search(rf'\b{name} = "?([\w.]+)"?', _gradle_file())
    assert found, f"app/build.gradle.kts has no {name}"
    return found[1]


def uncompressed() -> list[str]:
    """The extensions that app/build.gradle.kts keeps from compression."""
    found = re.search(r"noCompress \+= listOf\((.*)\)", _gradle_file())
    assert found
    return re.findall(r'"(\w+)"', found[1])


def catalog() -> dict[str, dict[str, Any]]:
    """The versions, libraries and plugins of Gradle's version catalog."""
    return tomllib.loads((DEMO / "gradle" / "libs.versions.toml").read_text(encoding="utf-8"))


class Build:
    """The demo, compiled into a directory.

    Args:
        found: as `platform` gives it.
        out: a directory of this build's own.

    Raises:
        RuntimeError: a tool refuses; the message is what it says.
    """

    def __init__(self, found: Path, out: Path) -> None:
        self._platform, self._out = found, out
        self.classes, self.apk = out / "app", out / "app-debug.apk"

    @property
    def class_path(self) -> str:
        """What the app's sources are compiled against, itself apart."""
        names = ("core", "generated", "runtimes", "android.jar")
        return kotlin.joined(*(self._out / name for name in names), kotlin.stdlib())

    def make(self, assets: Path) -> None:
        """Compile everything and package it with these assets."""
        self._out.mkdir(parents=True)
        android_stubs.write_jar(self._platform / "api.txt", self._out / "android.jar")
        self._resources(assets)
        self._generate()
        self._runtimes()
        core = kotlin.SOURCES / "main"
        kotlin.compile_sources([core], self._out / "core", kotlin.stdlib(), "-Xexplicit-api=strict", *_FOR_DX)
        self.compile(MAIN / "kotlin", self.classes)
        self._package()

    def compile(self, sources: Path, out: Path) -> None:
        """Compile the app's sources, or a changed copy of them."""
        kotlin.compile_sources([sources], out, self.class_path, *_FOR_DX, module="app")

    def compile_tests(self) -> str:
        """Compile the app's JUnit tests; the class path to run them with."""
        path = kotlin.joined(self.classes, self.class_path, kotlin.junit())
        friends = f"-Xfriend-paths={self.classes},{self._out / 'core'}"
        sources = [kotlin.FIXTURES, APP / "test" / "kotlin"]
        kotlin.compile_sources(sources, self._out / "tests", path, friends, module="app")
        return kotlin.joined(self._out / "tests", path)

    def newer(self) -> set[str]:
        """Android's classes and members that the app uses and that Android 6, API level 23, lacks."""
        older = class_files.in_jar(self._platform / "android-23.jar")
        return class_files.unknown(class_files.in_directory(self.classes), older, "android/")

    def aapt2(self, *arguments: str) -> str:
        """What the packaging tool prints."""
        return _ran(str(self._platform / "aapt2"), *arguments)

    def verified(self) -> str:
        """What apksigner says of the APK's signature."""
        return self._apksigner("verify", "--verbose", "--min-sdk-version", gradle("minSdk"), str(self.apk))

    def aligned(self) -> str:
        """What zipalign says; uncompressed files on 4 bytes, libraries on pages."""
        return _ran(str(self._platform / "zipalign"), "-c", "-v", "-p", "4", str(self.apk))

    def _resources(self, assets: Path) -> None:
        compiled, generated = self._out / "resources.zip", self._out / "java"
        self.aapt2("compile", "--dir", str(MAIN / "res"), "-o", str(compiled))
        # Gradle adds the package, which the manifest that it reads must not have.
        text = (MAIN / "AndroidManifest.xml").read_text(encoding="utf-8")
        text = text.replace("<manifest ", f'<manifest package="{gradle("namespace")}" ', 1)
        manifest = self._out / "AndroidManifest.xml"
        manifest.write_text(text, encoding="utf-8")
        options = ["--min-sdk-version", gradle("minSdk"), "--target-sdk-version", gradle("targetSdk")]
        options += ["--version-code", gradle("versionCode"), "--version-name", gradle("versionName")]
        options += [word for name in uncompressed() for word in ("-0", f".{name}")]
        options += ["-I", str(self._platform / "framework-res.apk"), "--manifest", str(manifest)]
        options += ["--java", str(generated), "-A", str(assets), "-o", str(self._out / "resources.apk")]
        self.aapt2("link", *options, str(compiled))

    def _generate(self) -> None:
        fields = {f"{name.upper()}_VERSION": catalog()["versions"][name] for name in ("litert", "executorch")}
        fields["VERSION_NAME"] = gradle("versionName")
        lines = [f'public static final String {name} = "{value}";' for name, value in fields.items()]
        path = self._out / "java" / Path(*PACKAGE.split(".")) / "BuildConfig.java"
        content = f"package {PACKAGE};\npublic final class BuildConfig {{ {' '.join(lines)} }}\n"
        path.write_text(content, encoding="utf-8")
        self._javac("generated", *sorted((self._out / "java").rglob("*.java")))

    def _runtimes(self) -> None:
        """The stubs, of each runtime in the language that it is written in: their calls differ."""
        self._javac("runtimes", *sorted(STUBS.rglob("*.java")))
        kotlin.compile_sources(sorted(STUBS.rglob("*.kt")), self._out / "runtimes", kotlin.stdlib())

    def _javac(self, name: str, *sources: Path) -> None:
        options = [*(f"-J{option}" for option in _SHORT), "--release", "8", "-Xlint:-options"]
        _ran("javac", *options, "-d", str(self._out / name), *map(str, sources))

    def _package(self) -> None:
        dex = self._out / "classes.dex"
        inputs = [self._out / name for name in ("core", "generated", "app")]
        options = ["--dex", f"--min-sdk-version={gradle('minSdk')}", f"--output={dex}"]
        _ran("java", *_SHORT, "-jar", str(self._platform / "dx.jar"), *options, *map(str, inputs))
        whole, plain = self._out / "unaligned.apk", self._out / "resources.apk"
        shutil.copy(plain, whole)
        with zipfile.ZipFile(whole, "a", zipfile.ZIP_DEFLATED) as file:
            file.write(dex, "classes.dex")
        _ran(str(self._platform / "zipalign"), "-f", "-p", "4", str(whole), str(self._out / "aligned.apk"))
        self._sign(self._out / "aligned.apk")

    def _sign(self, unsigned: Path) -> None:
        store, password = self._out / "debug.keystore", "android"
        made = ["-keystore", str(store), "-storepass", password, "-keypass", password, "-alias", "debug"]
        made += ["-dname", "CN=Debug", "-keyalg", "RSA", "-keysize", "2048", "-validity", "10000"]
        _ran("keytool", "-genkeypair", *made)
        signer = ["--ks", str(store), "--ks-pass", f"pass:{password}", "--min-sdk-version", gradle("minSdk")]
        self._apksigner("sign", *signer, "--out", str(self.apk), str(unsigned))

    def _apksigner(self, *arguments: str) -> str:
        path = kotlin.joined(self._platform / "apksigner.jar", self._platform / "apksig.jar")
        return _ran("java", *_SHORT, "-cp", path, "com.android.apksigner.ApkSignerTool", *arguments)


def _gradle_file() -> str:
    return (DEMO / "app" / "build.gradle.kts").read_text(encoding="utf-8")


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and "build" not in path.parts]


def _ran(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}:\n{done.stdout}{done.stderr}")
    return done.stdout
