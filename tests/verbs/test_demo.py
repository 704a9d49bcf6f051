"""Bundles in the demo apps' projects: all whole or none, and nothing else touched; the app on a phone."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporters.errors import GateError, InputError, UnavailableError
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.verbs import demo
from squeezebert_edge.verbs.demo import DEMOS, install, place
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.fakes.adb import put_adb
from tests.kit.small import as_format, small_checkpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    out = tmp_path_factory.mktemp("out")
    (made,) = export_bundles(small_checkpoint(num_hidden_layers=1), Plan([("tflite", "fp32")], (16,)), out)
    other = as_format(made, "executorch", out / "executorch-fp32")
    return {bundle.manifest.format: bundle.directory for bundle in (made, other)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Android demo, as far as its directories go."""
    return projected(tmp_path, "android")


def projected(parent: Path, system: str) -> Path:
    project = parent / DEMOS[system].directory
    (project / DEMOS[system].sign).parent.mkdir(parents=True)
    (project / DEMOS[system].sign).write_text("")
    return project


def there(project: Path, system: str = "android") -> Path:
    return project / DEMOS[system].bundles


def names(project: Path) -> set[str]:
    return {path.name for path in there(project).iterdir()} - {demo.PLACED}


@pytest.mark.parametrize("system", DEMOS)
def test_the_projects_of_this_checkout_are_known(system: str) -> None:
    assert (ROOT / DEMOS[system].directory / DEMOS[system].sign).is_file()
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {f"{there(DEMOS[system].directory, system)}/{ending}" for ending in ("", "*")} & set(ignored)


def test_bundles_are_put_in_place_of_earlier_ones(bundles: Mapping[str, Path], project: Path) -> None:
    placed = place("android", project, list(bundles.values()))
    assert {bundle.directory for bundle in placed} == {
        there(project) / path.name for path in bundles.values()
    }
    for bundle in placed:
        assert open_bundle(bundle.directory).manifest == bundle.manifest
    (there(project) / "tflite-fp32" / "vocab.txt").write_text("altered by hand")
    place("android", project, [bundles["tflite"], bundles["tflite"]])
    assert names(project) == {"tflite-fp32"}
    open_bundle(there(project) / "tflite-fp32")
    assert [path.name for path in there(project).parent.iterdir()] == ["bundles"]


def test_what_somebody_else_put_there_stays(bundles: Mapping[str, Path], project: Path) -> None:
    mine = there(project) / "mine"
    mine.mkdir(parents=True)
    (mine / "file").write_text("my own")
    (there(project) / ".gitignore").write_text("*")
    (there(project) / "link").symlink_to("mine")
    place("android", project, [bundles["tflite"]])
    place("android", project, [bundles["executorch"]])
    assert names(project) == {"mine", ".gitignore", "link", "executorch-fp32"}
    assert (mine / "file").read_text() == "my own"
    assert (there(project) / "link").is_symlink()
    shutil.copytree(bundles["tflite"], there(project) / "tflite-fp32")
    with pytest.raises(InputError, match="not from `demo`"):
        place("android", project, [bundles["tflite"]])


def test_bundles_that_are_there_can_be_put_again(bundles: Mapping[str, Path], project: Path) -> None:
    place("android", project, list(bundles.values()))
    place("android", project, [there(project) / "tflite-fp32"])
    assert names(project) == {"tflite-fp32"}


def test_what_an_app_does_not_run_is_refused(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    ios = projected(tmp_path, "ios")
    with pytest.raises(InputError, match=r"tflite\nallowed: coreml, executorch"):
        place("ios", ios, [bundles["executorch"], bundles["tflite"]])
    assert not there(ios, "ios").exists()
    place("ios", ios, [bundles["executorch"]])
    assert (there(ios, "ios") / "executorch-fp32" / "model.pte").is_file()


def test_wrong_calls_are_explained(bundles: Mapping[str, Path], project: Path, tmp_path: Path) -> None:
    altered = shutil.copytree(bundles["tflite"], tmp_path / "altered")
    (altered / "vocab.txt").write_text("")
    same = shutil.copytree(bundles["executorch"], tmp_path / "other" / "tflite-fp32")
    hidden = shutil.copytree(bundles["tflite"], tmp_path / "_hidden")
    wrong: list[tuple[Path, list[Path], str]] = [
        (project, [altered], "not as it was written"),
        (project, [tmp_path], "not a bundle"),
        (project, [bundles["tflite"], same], "several bundles are named tflite-fp32"),
        (project, [hidden], "_hidden: build tools leave out"),
        (tmp_path, [bundles["tflite"]], "is not the android demo"),
    ]
    for where, given, says in wrong:
        with pytest.raises(InputError, match=says):
            place("android", where, given)
    assert not there(project).exists()


def test_links_lead_nowhere(bundles: Mapping[str, Path], project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    there(project).parent.mkdir(parents=True)
    there(project).symlink_to(outside)
    with pytest.raises(InputError, match="is a link"):
        place("android", project, [bundles["tflite"]])
    there(project).unlink()
    there(project).parent.rmdir()
    there(project).parent.symlink_to(outside)
    with pytest.raises(InputError, match="is a link"):
        place("android", project, [bundles["tflite"]])
    assert [path.name for path in outside.iterdir()] == ["precious"]
    linked = shutil.copytree(bundles["tflite"], tmp_path / "linked")
    (linked / "vocab.txt").unlink()
    (linked / "vocab.txt").symlink_to(bundles["tflite"] / "vocab.txt")
    with pytest.raises(InputError, match="a link"):
        place("android", project, [linked])


def test_a_list_of_what_was_put_names_nothing_elsewhere(bundles: Mapping[str, Path], project: Path) -> None:
    there(project).mkdir(parents=True)
    (there(project) / demo.PLACED).write_text(json.dumps(["../../AndroidManifest.xml", 3]))
    manifest = there(project).parents[1] / "AndroidManifest.xml"
    manifest.write_text("")
    place("android", project, [bundles["tflite"]])
    assert manifest.exists()


def test_a_full_disk_leaves_what_was_there(
    bundles: Mapping[str, Path], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place("android", project, [bundles["tflite"]])
    copy = shutil.copy2

    def full(source: Path, target: Path, **options: Any) -> Any:
        if "executorch" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return copy(source, target, **options)

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(InputError, match="No space left on device"):
        place("android", project, list(bundles.values()))
    assert names(project) == {"tflite-fp32"}
    assert [path.name for path in there(project).parent.iterdir()] == ["bundles"]


def test_a_copy_that_is_not_what_was_checked_is_refused(
    bundles: Mapping[str, Path], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(source: Path, target: Path, **options: Any) -> None:
        target.write_bytes(source.read_bytes() + b" ")

    monkeypatch.setattr(shutil, "copy2", other)
    with pytest.raises(InputError, match="not as it was written"):
        place("android", project, [bundles["tflite"]])
    assert not there(project).exists()


def test_an_interruption_leaves_what_was_there(bundles: Mapping[str, Path], project: Path) -> None:
    place("android", project, [bundles["tflite"]])
    code = (
        "import shutil, time; copy = shutil.copy2\n"
        "def slow(*given, **named): time.sleep(0.5); copy(*given, **named)\n"
        "shutil.copy2 = slow\n"
        "from squeezebert_edge import cli; cli.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "demo", "android", bundles["executorch"], "--project", project],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 60
        while len(list(there(project).parent.iterdir())) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "no half-written output" in said
    assert names(project) == {"tflite-fp32"}
    assert [path.name for path in there(project).parent.iterdir()] == ["bundles"]


@pytest.fixture
def phones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake adb; gives the file that lists its phones, of which one is ready."""
    return put_adb(tmp_path, monkeypatch)


def built(project: Path) -> Path:
    """An APK of what is in the project now."""
    apk = project / demo.APK
    apk.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(apk, "w") as archive:
        for path in there(project).rglob("*"):
            archive.write(path, f"assets/bundles/{path.relative_to(there(project)).as_posix()}")
    return apk


def test_the_app_is_installed_and_started(
    bundles: Mapping[str, Path], project: Path, phones: Path, tmp_path: Path
) -> None:
    place("android", project, [bundles["tflite"]])
    apk = built(project)
    done = subprocess.run(
        [sys.executable, "-m", "squeezebert_edge", "demo", "android", bundles["tflite"],
         "--project", project, "--install", "--json"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["bundles"]
    assert (row["name"], row["task"], row["precision"]) == ("tflite-fp32", "text-classification", "fp32")
    assert row["bytes"] == open_bundle(bundles["tflite"]).size
    calls = (tmp_path / "log").read_text().splitlines()
    assert calls[-2:] == [
        f"-s ONE install -r {apk}",
        "-s ONE shell -T am start -W -n io.squeezebert.edge.demo/.MainActivity",
    ]


def test_an_app_without_these_bundles_is_not_installed(
    bundles: Mapping[str, Path], project: Path, phones: Path, tmp_path: Path
) -> None:
    placed = place("android", project, [bundles["tflite"]])
    with pytest.raises(UnavailableError, match=r"no .*app-debug.apk\nnext: ./gradlew :app:assembleDebug"):
        install(project, placed)
    built(project)
    placed = place("android", project, list(bundles.values()))
    with pytest.raises(UnavailableError, match="does not hold executorch-fp32"):
        install(project, placed)
    (project / demo.APK).write_bytes(b"no archive")
    with pytest.raises(UnavailableError, match="does not hold"):
        install(project, placed)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("listed", "kind", "says"),
    [
        ("", UnavailableError, "no Android phone is attached"),
        ("ONE    unauthorized\n", UnavailableError, "allow this computer"),
        ("ONE    device\nTWO    device\n", InputError, "allowed: ONE, TWO"),
    ],
)
def test_without_a_phone_that_is_ready_it_is_said_what_to_do(
    bundles: Mapping[str, Path], project: Path, phones: Path, listed: str, kind: type[Exception], says: str
) -> None:
    placed = place("android", project, [bundles["tflite"]])
    built(project)
    phones.write_text(listed)
    with pytest.raises(kind, match=says):
        install(project, placed)
    if "TWO" in listed:
        assert install(project, placed, device="android:TWO") == "TWO"
        with pytest.raises(InputError, match="--install is not possible on host"):
            install(project, placed, device="host")


def test_a_phone_that_does_not_take_the_app_is_explained(
    bundles: Mapping[str, Path], project: Path, phones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed: list[Bundle] = place("android", project, [bundles["tflite"]])
    apk = built(project).rename(project / "another.apk")
    monkeypatch.setenv("ADB_SAYS", "Failure [INSTALL_FAILED_UPDATE_INCOMPATIBLE]")
    with pytest.raises(UnavailableError, match="INCOMPATIBLE.*\n.*adb uninstall"):
        install(project, placed, apk=apk)
    monkeypatch.setenv("ADB_SAYS", "Success")
    monkeypatch.setenv("ADB_STARTS", "Error: Activity class does not exist.")
    with pytest.raises(GateError, match="does not exist"):
        install(project, placed, apk=apk)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ios", "--install"], "--install cannot put the iOS app on a phone"),
        (["android", "--apk", "x"], "--apk"),
    ],
)
def test_options_that_do_not_go_together(
    bundles: Mapping[str, Path], tmp_path: Path, arguments: list[str], says: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "squeezebert_edge", "demo", *arguments, bundles["executorch"]],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert says in done.stderr
