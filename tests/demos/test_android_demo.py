"""The Android demo compiles against Android's public API, becomes a signed APK, and passes its tests."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import zipfile
from importlib.metadata import requires
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.toolchains import android, kotlin
from tests.toolchains.android import Build

ROOT = Path(__file__).parents[2]
NAMESPACE = "{http://schemas.android.com/apk/res/android}"
BUNDLE_FILES = dict.fromkeys(("manifest.json", "model.tflite", "model.pte"), b"content " * 500)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Build:
    """Made once, whatever the number of processes the tests run in."""
    found = android.platform()
    if found is None:
        pytest.skip(f"{android.VARIABLE} names no directory that tests/toolchains/android_platform.sh filled")
    if not kotlin.has_jdk():
        pytest.skip(f"Kotlin: {kotlin.JDK_HINT}")
    base = tmp_path_factory.getbasetemp()
    shared_base = base if worker_id == "master" else base.parent
    made = Build(found, shared_base / f"android-{android.sources_hash(found)}")
    with (shared_base / "android.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.apk.exists():
            assets = shared_base / "assets"
            for name, content in BUNDLE_FILES.items():
                path = assets / "bundles" / "tiny" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            made.make(assets)
    return made


def manifest(build: Build) -> str:
    """The APK's manifest, as a tree."""
    return build.aapt2("dump", "xmltree", "--file", "AndroidManifest.xml", str(build.apk))


def test_its_own_tests_pass(build: Build) -> None:
    class_path = build.compile_tests()
    names = [f"{android.PACKAGE}.{path.stem}" for path in sorted((android.APP / "test").rglob("*Test.kt"))]
    command = kotlin.java(class_path, "org.junit.runner.JUnitCore", *names)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"OK \(\d{2,} tests\)", done.stdout)


# Of each what stands there, what is put in its place, and what the compiler then says of that file.
UNKNOWN = "unresolved reference"
MISUSES = [
    ("JobActivity.kt", "FLAG_KEEP_SCREEN_ON", "FLAG_KEEP_SCREEN_LIT", UNKNOWN),  # Android's API
    ("AndroidPhone.kt", "currentThermalStatus", "thermalState", UNKNOWN),
    ("Screen.kt", "R.id.content", "R.id.contents", UNKNOWN),  # the app's resources
    ("LiteRt.kt", "createInputBuffer(", "createInputTensor(", UNKNOWN),  # LiteRT's API
    ("LiteRt.kt", "xnnPackWeightCachePath =", "weightCachePath =", "no parameter with name"),
    ("LiteRt.kt", "numThreads = settings.threads", 'numThreads = "2"', "argument type mismatch"),
    ("ExecuTorch.kt", "LOAD_MODE_MMAP", "LOAD_MODE_MAP", UNKNOWN),  # ExecuTorch's API
    ("Library.kt", '?: throw FileNotFoundException("$uri gives nothing to read")', "", "InputStream?"),
]


def test_a_misspelt_or_misused_api_does_not_compile(build: Build, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(android.MAIN / "kotlin", sources)
    for file, right, wrong, _ in MISUSES:
        (path,) = sources.rglob(file)
        text = path.read_text(encoding="utf-8")
        assert right in text
        path.write_text(text.replace(right, wrong), encoding="utf-8")
    with pytest.raises(RuntimeError) as refused:
        build.compile(sources, tmp_path / "classes")
    for file, _, wrong, message in MISUSES:
        said = re.findall(rf"/{re.escape(file)}:\d+:\d+: (?:error|warning): (.*)\n(.*)", str(refused.value))
        assert any(message in problem and wrong in line for problem, line in said), (file, wrong)


# What Android 6 (API level 23) lacks, and since which level it is there. What is above minSdk stands behind a
# check of SDK_INT in the source; a new name here is a question whether it does.
NEWER = {
    "content/ContentResolver.query": 26,  # the one with a Bundle
    "content/res/Configuration.getLocales": 24,
    "graphics/Insets": 29,
    "graphics/Insets.bottom": 29,
    "graphics/Insets.left": 29,
    "graphics/Insets.right": 29,
    "graphics/Insets.top": 29,
    "os/Build.SOC_MANUFACTURER": 31,
    "os/Build.SOC_MODEL": 31,
    "os/LocaleList": 24,
    "os/LocaleList.get": 24,
    "os/PowerManager.getCurrentThermalStatus": 29,
    "os/Process.getStartElapsedRealtime": 24,
    "view/WindowInsets$Type": 30,
    "view/WindowInsets$Type.displayCutout": 30,
    "view/WindowInsets$Type.ime": 30,
    "view/WindowInsets$Type.systemBars": 30,
    "view/WindowInsets.CONSUMED": 30,
    "view/WindowInsets.getInsets": 30,
}


def test_what_older_phones_lack_is_known(build: Build) -> None:
    assert build.newer() == {f"android/{name}" for name in NEWER}


def test_the_apk_is_signed_and_aligned(build: Build) -> None:
    assert "Verified using v2 scheme (APK Signature Scheme v2): true" in build.verified()
    assert "Verification successful" in build.aligned()


def test_the_apk_has_the_code_and_what_the_manifest_names(build: Build) -> None:
    with zipfile.ZipFile(build.apk) as file:
        code = file.read("classes.dex")
    assert code.startswith(b"dex\n")
    names = re.findall(r'android:name\(0x01010003\)="(\.\w+)"', manifest(build))
    activities = {".MainActivity", ".QuestionActivity", ".BenchmarkActivity", ".JobActivity"}
    assert set(names) == {".DemoApplication", *activities}
    for name in names:
        assert f"L{android.PACKAGE.replace('.', '/')}/{name[1:]};".encode() in code


def test_the_manifest_is_what_the_contract_and_the_phones_ask(build: Build) -> None:
    badging = build.aapt2("dump", "badging", str(build.apk))
    assert f"package: name='{android.PACKAGE}'" in badging
    assert "sdkVersion:'26'" in badging
    assert "targetSdkVersion:'36'" in badging
    assert f"launchable-activity: name='{android.PACKAGE}.MainActivity'" in badging
    assert "uses-permission" not in badging  # no data leaves the phone
    exported = {
        re.findall(r'android:name\S*="\.(\w+)"', text)[0]: re.findall(r"android:exported\S*=(\w+)", text)[0]
        for text in manifest(build).split("E: activity")[1:]
    }
    assert exported == {
        "MainActivity": "true",
        "QuestionActivity": "false",
        "BenchmarkActivity": "false",
        "JobActivity": "true",
    }


def test_models_are_stored_as_they_are(build: Build) -> None:
    with zipfile.ZipFile(build.apk) as file:
        stored = {info.filename: info for info in file.infolist()}
        for name, content in BUNDLE_FILES.items():
            info = stored[f"assets/bundles/tiny/{name}"]
            assert file.read(info) == content
            expected = zipfile.ZIP_DEFLATED if name == "manifest.json" else zipfile.ZIP_STORED
            assert info.compress_type == expected, name


def test_the_dark_theme_has_every_colour(build: Build) -> None:
    files = [android.MAIN / "res" / values / "colors.xml" for values in ("values", "values-night")]
    light, dark = (set(re.findall(r'name="(\w+)"', file.read_text(encoding="utf-8"))) for file in files)
    assert light == dark
    assert "(night)" in build.aapt2("dump", "resources", str(build.apk))


def test_a_screen_reader_has_a_name_for_everything_that_can_be_touched() -> None:
    named = {
        "EditText": "hint",
        "Spinner": "contentDescription",
        "ProgressBar": "contentDescription",
        "Button": "text",
    }
    found = set()
    for layout in (android.MAIN / "res" / "layout").glob("*.xml"):
        for element in ElementTree.parse(layout).iter():
            if element.tag in named:
                assert element.get(f"{NAMESPACE}{named[element.tag]}", "").startswith("@string/"), (
                    layout,
                    element,
                )
                found.add(element.tag)
    assert found == named.keys()


def test_letters_grow_with_the_font_size_that_a_user_chose() -> None:
    values = "\n".join(path.read_text(encoding="utf-8") for path in (android.MAIN / "res").rglob("*.xml"))
    assert not re.search(r'textSize(="|">)[\d.]+(dp|px)', values)
    assert re.search(r'name="label">\d+sp<', values)  # the plot's


def test_runtimes_are_of_the_versions_that_export() -> None:
    needed = {line.partition(";")[0].strip() for line in requires("squeezebert-edge") or []}
    versions = android.catalog()["versions"]
    assert {f"ai-edge-litert=={versions['litert']}", f"executorch=={versions['executorch']}"} <= needed


def test_gradle_files_agree() -> None:
    wrapper = (android.DEMO / "gradle" / "wrapper" / "gradle-wrapper.properties").read_text(encoding="utf-8")
    (version,) = re.findall(r"gradle-([\d.]+)-bin", wrapper)
    workflow = (ROOT / ".github" / "workflows" / "android.yml").read_text(encoding="utf-8")
    assert f"gradle-version: {version}" in workflow
    catalog = android.catalog()
    names = [*catalog["libraries"], *(f"plugins.{name}" for name in catalog["plugins"])]
    named = {name.replace("-", ".") for name in names}
    for path in android.DEMO.rglob("*.gradle.kts"):
        used = set(re.findall(r"libs\.([\w.]+)\)", path.read_text(encoding="utf-8")))
        assert {name for name in used if not name.startswith("versions.")} <= named, path
    assert android.uncompressed() == ["tflite", "pte"]
