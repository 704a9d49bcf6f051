"""The iOS app does the jobs that Python asks for, its Swift is well-formed, its project names what exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.devices import demo_app
from squeezebert_edge.latency import record
from squeezebert_edge.latency.protocol import QUICK, Protocol, broken_rule, exactly
from squeezebert_edge.tasks.heads import TASKS
from squeezebert_edge.tasks.rows import rows_of
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from tests.demos.tokenizer_cases import write_bundle
from tests.kit.small import small_checkpoint
from tests.toolchains import pbxproj, swift
from tests.toolchains.swift import Kit

DEMO = swift.PACKAGE.parent
ID = "0123456789abcdef"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUTS = (("logits", [1, 2]), ("last_hidden_state", [1, None, 3]))
SETTINGS = record.Settings(unit="ane")


def job(protocol: Protocol | None, **changes: Any) -> dict[str, Any]:
    """A job of three rows, as Python asks it; `changes` replace its fields."""
    rows = [
        {"length": length, "values": [[n, *range(length - 1)], [1] * length, [0] * length]}
        for n, length in ((7, 16), (8, 48), (9, 16))
    ]
    return {
        "job_version": demo_app.JOB_VERSION,
        "work": "answer" if protocol is None else "measure",
        "settings": SETTINGS.model_dump(),
        "protocol": None if protocol is None else asdict(protocol),
        "inputs": list(INPUTS),
        "rows": rows,
    } | changes


def done(kit: Kit, directory: Path, asked: Mapping[str, Any], engine: str = "stand-in") -> dict[str, Any]:
    """What the app says of a job, whose bundle is by default one that only a stand-in runs."""
    at = directory / "Documents" / "jobs" / ID
    if not (at / "bundle").exists():
        outputs = [{"name": name, "dtype": "float32", "shape": shape} for name, shape in OUTPUTS]
        write_bundle(at / "bundle", small_checkpoint().tokenizer, format="coreml", outputs=outputs)
    (at / "job.json").write_text(json.dumps(asked))
    kit.do("job", engine, directory / "Documents", ID)
    result: dict[str, Any] = json.loads((at / "result.json").read_text())
    assert [path.name for path in at.iterdir() if "partial" in path.name] == []
    return result


def test_a_measured_job_is_a_run_as_python_reads_it(kit: Kit, tmp_path: Path) -> None:
    protocol = exactly(12)
    (result,) = done(kit, tmp_path, job(protocol)).items()
    assert result[0] == "run"
    run = record.Run.model_validate(result[1])
    assert run.runtime.runner == "app"
    assert run.samples.row == (0, 1, 2) * 4
    assert run.samples.length == (16, 48, 16) * 4
    assert [warmed.length for warmed in run.warm_up] == [16, 48]
    assert run.cold_start.first_ns is not None
    assert run.cold_start.first_ns.keys() == {16, 48}
    assert "process_ns" in run.cold_start.unknown
    assert run.memory.baseline_bytes
    assert broken_rule(protocol, run.samples) is None


def test_an_answered_job_has_every_output_of_every_row(kit: Kit, tmp_path: Path) -> None:
    asked = job(None)
    result = done(kit, tmp_path, asked)
    lengths = [row["length"] for row in asked["rows"]]
    assert result == {"shapes": [[[1, 2], [1, length, 3]] for length in lengths]}
    expected = [
        np.arange(count) + sum(row["values"][0]) for row in asked["rows"] for count in (2, 3 * row["length"])
    ]
    found = np.fromfile(tmp_path / "Documents" / "jobs" / ID / "outputs.bin", "<f4")
    np.testing.assert_array_equal(found, np.concatenate(expected))


def rows_with(length: int, counts: tuple[int, ...]) -> dict[str, Any]:
    return {"rows": [{"length": length, "values": [[1] * count for count in counts]}]}


def settings_with(**fields: Any) -> dict[str, Any]:
    return {"settings": SETTINGS.model_dump() | fields}


# What the app says -> what was changed in a job that it would do.
REFUSED: dict[str, dict[str, Any]] = {
    "job_version 1": {"job_version": 1},
    'the whole has an unknown "surprise"': {"surprise": 1},
    'settings has an unknown "surprise"': settings_with(surprise=1),
    'protocol has an unknown "surprise"': {"protocol": asdict(QUICK) | {"surprise": 1}},
    'work "answer" with a protocol': {"work": "answer"},
    'work "measure" without a protocol': {"protocol": None},
    'work "cook" with a protocol': {"work": "cook"},
    "threads": settings_with(threads=2),
    "unit npu:SM8650": settings_with(unit="npu:SM8650"),
    'settings.unit is "npu"': settings_with(unit="npu"),
    'settings has an unknown "delegate"': settings_with(delegate="cpu"),
    "cpus": settings_with(cpus=[0]),
    "runtime": settings_with(runtime="another"),
    "row 1 has a length of 48": settings_with(length=16),
    "settings.cpus is missing": {"settings": SETTINGS.model_dump(exclude={"cpus"})},
    "0 rows": {"rows": []},
    "a row of length 17": rows_with(17, (17, 17, 17)),
    "row 0: [16, 15, 16] values": rows_with(16, (16, 15, 16)),
    "row 0: [16, 16] values": rows_with(16, (16, 16)),
}


def test_what_cannot_be_done_is_said(kit: Kit, tmp_path: Path) -> None:
    for says, changes in REFUSED.items():
        result = done(kit, tmp_path, job(exactly(1)) | changes)
        assert list(result) == ["error"], says
        assert says in result["error"]


def test_a_job_with_an_altered_bundle_is_refused(kit: Kit, tmp_path: Path) -> None:
    done(kit, tmp_path, job(exactly(1)))
    (tmp_path / "Documents" / "jobs" / ID / "bundle" / "vocab.txt").write_text("[PAD]")
    assert "altered: vocab.txt" in done(kit, tmp_path, job(exactly(1)))["error"]


def test_only_a_job_in_the_apps_own_documents_is_done(kit: Kit, tmp_path: Path) -> None:
    done(kit, tmp_path / "another", job(None))
    elsewhere = tmp_path / "another" / "Documents" / "jobs" / ID
    jobs = tmp_path / "own" / "Documents" / "jobs"
    jobs.mkdir(parents=True)
    (jobs / ("f" * 16)).symlink_to(elsewhere)
    for name in ("f" * 16, "e" * 16, str(elsewhere), f"../../another/Documents/jobs/{ID}", ID.upper(), ""):
        assert "job" in kit.refusal("job", "stand-in", jobs.parent, name)
    (elsewhere.parent / ID.upper()).symlink_to(elsewhere)
    assert "16 lower-case" in kit.refusal("job", "stand-in", elsewhere.parents[1], ID.upper())


@pytest.mark.skipif(sys.platform != "darwin", reason="Core ML computes on macOS only")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_core_ml_called_by_the_kit_and_the_evaluator_agree(kit: Kit, tmp_path: Path, precision: str) -> None:
    (bundle,) = export_bundles(small_checkpoint(), Plan([("coreml", precision)], (16, 48)), tmp_path)
    shutil.copytree(bundle.directory, tmp_path / "Documents" / "jobs" / ID / "bundle")
    settings = record.Settings(unit="cpu")
    asked = job(None, settings=settings.model_dump())
    done(kit, tmp_path, asked, "coreml")
    runner = bundle.load_runner(runtime="mil-evaluator")
    expected = [
        runner(
            {name: np.array([values], np.int32) for name, values in zip(INPUTS, row["values"], strict=True)}
        )
        for row in asked["rows"]
    ]
    found = np.fromfile(tmp_path / "Documents" / "jobs" / ID / "outputs.bin", "<f4")
    np.testing.assert_allclose(
        found,
        np.concatenate([output["logits"].ravel() for output in expected]),
        atol={"fp32": 1e-5, "fp16": 2e-2}[precision],
    )


@pytest.mark.parametrize("name", sorted(TASKS))
def test_real_texts_become_pythons_rows(kit: Kit, tmp_path: Path, name: str) -> None:
    tokenizer, lengths = load_checkpoint("default").tokenizer, (32, 128)
    task = TASKS[name](["a", "b"], None)
    asked = [[each.text, *([each.pair] if each.pair else each.choices)] for each in task.built_in_examples()]
    assert len(asked) >= 64
    bundle = write_bundle(
        tmp_path / "bundle", tokenizer, task=name, lengths=list(lengths), entry_points={32: "", 128: ""}
    )
    found = kit.ask([{"texts": texts} for texts in asked], "features", bundle)
    for texts, answer in zip(asked, found, strict=True):
        rows = rows_of(task, tokenizer, task.ask(texts), lengths)
        assert [row["inputs"] for row in answer["rows"]] == [
            {name: values[0].tolist() for name, values in row.items()} for row in rows
        ], texts


def test_executorch_takes_the_threads_that_are_asked(tmp_path: Path) -> None:
    package = pytest.importorskip("executorch").__path__[0]
    source = DEMO / "SqueezeBertKitExecuTorch" / "Sources" / "ExecuTorchThreads"
    library, lib = tmp_path / "threads.so", Path(package) / "lib"
    flags = ["-std=c++17", "-shared", "-fPIC", f"-I{source / 'include'}", f"-L{lib}", f"-Wl,-rpath,{lib}"]
    command = ["g++", *flags, str(source / "threads.cpp"), "-lexecutorch_threadpool", "-o", str(library)]
    subprocess.run(command, check=True)
    asking = f"import ctypes; print(ctypes.CDLL({str(library)!r}).executorch_use_threads(2) & 1)"
    asked = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=True)
    assert asked.stdout == "1\n"


# The Swift of the whole demo


def test_it_is_formatted(kit: Kit) -> None:
    # The tables hold one literal each, whose lines are another program's.
    files = [name for name in swift.sources() if "UnicodeTables" not in name]
    swift.checked(["swift", "format", "lint", "--strict", *files], kit.scratch)


def test_it_parses_for_an_iphone(kit: Kit) -> None:
    names = ("Package.swift", "main.swift")  # another language: statements at the top
    files = [name for name in swift.sources() if not name.endswith(names)]
    assert any("App/Sources/Views" in name for name in files)
    swift.checked(["swiftc", "-frontend", "-parse", "-target", "arm64-apple-ios17.0", *files], kit.scratch)


@pytest.mark.skipif(sys.platform == "darwin", reason="the modules themselves are here: Xcode checks this")
def test_what_calls_apples_and_executorchs_modules_has_their_types(kit: Kit) -> None:
    out = kit.scratch / "stubs"
    out.mkdir(exist_ok=True)
    stubs = {path.stem: [str(path)] for path in (Path(swift.__file__).with_name("stubs")).glob("*.swift")}
    modules = stubs | {
        "SqueezeBertKit": swift.sources("SqueezeBertKit/Sources/SqueezeBertKit"),
        "SqueezeBertKitExecuTorch": swift.sources("SqueezeBertKitExecuTorch/Sources"),
        "SqueezeBertDemo": swift.sources("App/Sources/Models"),  # views want SwiftUI, and are only parsed
    }
    for name, files in modules.items():
        emit = ["-emit-module", "-emit-module-path", str(out / f"{name}.swiftmodule"), "-parse-as-library"]
        options = ["-swift-version", "6", "-package-name", name, "-module-name", name, "-I", str(out)]
        options += [
            "-I",
            str(DEMO / "SqueezeBertKitExecuTorch" / "Sources" / "ExecuTorchThreads" / "include"),
        ]
        strict = [] if name in stubs else ["-warnings-as-errors"]
        swift.checked(["swiftc", *emit, *options, *strict, *files], kit.scratch)


# The project

PROJECT = DEMO / "SqueezeBertDemo.xcodeproj"
OBJECTS = pbxproj.parse((PROJECT / "project.pbxproj").read_text())["objects"]


def objects(kind: str) -> dict[str, Any]:
    return {identity: each for identity, each in OBJECTS.items() if each["isa"] == kind}


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    return [string for each in inner for string in strings(each)]


def test_the_project_names_what_exists() -> None:
    whole = pbxproj.parse((PROJECT / "project.pbxproj").read_text())
    named = {string for string in strings(whole) if re.fullmatch("[0-9A-F]{24}", string)}
    assert named == OBJECTS.keys()
    assert OBJECTS[whole["rootObject"]]["isa"] == "PBXProject"
    (folder,) = (each["path"] for each in objects("PBXFileReference").values() if "lastKnownFileType" in each)
    (group,) = objects("PBXFileSystemSynchronizedRootGroup").values()
    assert (folder, group["path"]) == ("App/Bundles", "App/Sources")
    for path in (folder, group["path"]):
        assert (DEMO / path).is_dir()
    for dependency in objects("XCSwiftPackageProductDependency").values():
        manifest = DEMO / OBJECTS[dependency["package"]]["relativePath"] / "Package.swift"
        assert f'.library(name: "{dependency["productName"]}"' in manifest.read_text()
    scheme = ElementTree.parse(PROJECT / "xcshareddata" / "xcschemes" / "SqueezeBertDemo.xcscheme")
    referred = {each.get("BlueprintIdentifier") for each in scheme.iter("BuildableReference")}
    assert referred == objects("PBXNativeTarget").keys()


def test_xcodegen_would_make_the_same_project() -> None:
    spec = yaml.load((DEMO / "project.yml").read_text(), yaml.BaseLoader)  # every value as it is written
    (target,) = spec["targets"].values()
    (native,) = objects("PBXNativeTarget").values()
    assert list(spec["targets"]) == [native["name"]]
    configurations = OBJECTS[native["buildConfigurationList"]]["buildConfigurations"]
    for configuration in configurations:
        assert OBJECTS[configuration]["buildSettings"] == target["settings"]["base"]
    assert {each["path"] for each in spec["packages"].values()} == {
        each["relativePath"] for each in objects("XCLocalSwiftPackageReference").values()
    }
    assert [each["path"] for each in target["sources"]] == ["App/Sources", "App/Bundles"]
    project = [each for name, each in objects("XCBuildConfiguration").items() if name not in configurations]
    oldest = {each["buildSettings"]["IPHONEOS_DEPLOYMENT_TARGET"] for each in project}
    assert oldest == {spec["options"]["deploymentTarget"]["iOS"]}


def test_what_runs_bundles_is_the_release_that_exports_them(kit: Kit) -> None:
    exporting = re.search(r'"executorch==([\d.]+)"', (swift.ROOT / "pyproject.toml").read_text())
    assert exporting is not None
    command = ["swift", "package", "--package-path", "../SqueezeBertKitExecuTorch", "dump-package"]
    package = json.loads(swift.checked(command, kit.scratch))
    (remote,) = (each["sourceControl"][0] for each in package["dependencies"] if "sourceControl" in each)
    assert remote["requirement"]["branch"] == [f"swiftpm-{exporting[1]}"]
    (engine,) = (DEMO / "SqueezeBertKitExecuTorch").rglob("ExecuTorchClassifier.swift")
    assert f'static let version = "{exporting[1]}"' in engine.read_text()


def test_the_workflow_names_what_exists() -> None:
    text = (swift.ROOT / ".github" / "workflows" / "ios.yml").read_text()
    for path in re.findall(r"(?:tests|ios_demo)/[\w/.]+", text):
        assert (swift.ROOT / path).exists(), path
