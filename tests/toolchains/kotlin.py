"""Compiles the Android demo's core, its command line and its tests, without Gradle.

Kotlin's compiler comes in a Python package, kotlin-jupyter-kernel; JUnit from the system (Debian: junit4).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "android_demo" / "core" / "src"
FIXTURES = SOURCES / "testFixtures"  # of the tests of core and of the app
VECTORS = Path(__file__).parents[1] / "vectors"
MAIN_CLASS = "io.squeezebert.edge.MainKt"
JDK_HINT = "needs a JDK, 17 or later (Debian: apt-get install openjdk-17-jdk-headless)"
_JUNIT = (Path("/usr/share/java/junit4.jar"), Path("/usr/share/java/hamcrest.jar"))
_OPTIONS = ["-no-stdlib", "-no-reflect", "-Werror", "-Wextra"]
# Android's class library has no more of Java than this, as far as core goes.
_OPTIONS += ["-Xjdk-release=8", "-jvm-target", "1.8"]


def has_jdk() -> bool:
    """Whether Kotlin can be compiled and run here."""
    return shutil.which("javac") is not None


def junit() -> str:
    """JUnit's class path: JUNIT_CLASSPATH, or where Debian puts it."""
    named = os.environ.get("JUNIT_CLASSPATH")
    if named is None and not all(jar.exists() for jar in _JUNIT):
        raise FileNotFoundError("JUnit 4 is not here: apt-get install junit4, or set JUNIT_CLASSPATH")
    return named or joined(*_JUNIT)


def compile_core(out: Path, *, tests: bool = False) -> str:
    """Compile core, its command line and perhaps its tests into `out`; their class path.

    Raises:
        RuntimeError: what the compiler says; warnings are errors.
    """
    compile_sources([SOURCES / "main"], out / "main", stdlib(), "-Xexplicit-api=strict")
    path = joined(out / "main", stdlib(), *([junit()] if tests else []))
    # Together, for the compiler takes long to start.
    others = [SOURCES / "cli", *([FIXTURES, SOURCES / "test"] if tests else [])]
    compile_sources(others, out / "others", path, f"-Xfriend-paths={out / 'main'}")
    return joined(out / "others", path)


def java(class_path: str, *arguments: str) -> list[str]:
    """A command that runs something compiled; its own tests read the vectors."""
    return ["java", "-XX:+UseSerialGC", f"-Dvectors={VECTORS}", "-cp", class_path, *arguments]


def sources_hash() -> str:
    """A hash of what the compiled classes depend on."""
    digest = hashlib.sha256(version("kotlin-jupyter-kernel").encode())
    for path in sorted(SOURCES.rglob("*.kt")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def compile_sources(
    sources: Sequence[Path], out: Path, class_path: str, *options: str, module: str = "core"
) -> None:
    """Compile directories of Kotlin into another.

    Raises:
        RuntimeError: what the compiler says; warnings are errors.
    """
    compiler = joined(
        *(_jar(name) for name in ("kotlin-jupyter-kernel", "kotlin-stdlib", "kotlin-script-runtime"))
    )
    # It starts so often and runs so short that the second compiler of the JVM never pays.
    command = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", compiler]
    command += ["org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", *_OPTIONS, *options]
    command += ["-module-name", module, "-classpath", class_path, "-d", str(out), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr.strip():
        raise RuntimeError(f"kotlinc on {joined(*sources)}:\n{done.stderr}")


def stdlib() -> str:
    """Kotlin's standard library, of the compiler's version."""
    return str(_jar("kotlin-stdlib"))


def _jar(name: str) -> Path:
    spec = find_spec("run_kotlin_kernel")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("Kotlin's compiler is not here: pip install '.[dev]'")
    (jar,) = Path(spec.submodule_search_locations[0], "jars").glob(f"{name}-[0-9]*.jar")
    return jar


def joined(*parts: Path | str) -> str:
    """A class path."""
    return os.pathsep.join(map(str, parts))
