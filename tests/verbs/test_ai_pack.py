"""An AI pack: every phone's variant of a bundle is a bundle, and Play knows which phone gets which."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from exporters.errors import InputError
from exporters.units import GPU, Unit
from squeezebert_edge.bundle.manifest import write_manifest
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.cli.commands import app
from squeezebert_edge.verbs import ai_pack, demo
from tests.demos.tokenizer_cases import write_bundle
from tests.kit.small import small_checkpoint
from tests.kit.units import unit_record

CHIPS = ("SM8650", "MT6989", "Tensor_G4", "SA8295")


def made_for(directory: Path, *chips: str) -> Path:
    """A bundle with a file for each length and the NPU of each chip, and for the GPU."""
    write_bundle(directory, small_checkpoint().tokenizer)
    fields = open_bundle(directory).manifest.model_dump(exclude={"files", "schema_version"})
    units: dict[str, Any] = {"gpu": dict.fromkeys((16, 48), "model.tflite")}
    for chip in chips:
        units[f"npu:{chip}"] = {length: f"model.{chip}.{length}.tflite" for length in (16, 48)}
        for name in units[f"npu:{chip}"].values():
            (directory / name).write_text(f"compiled as {name}")
    records = {name: unit_record(files) for name, files in units.items()}
    write_manifest(directory, fields | {"units": records})
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Path:
    found = tmp_path / "android_demo"
    (found / demo.DEMOS["android"].sign).parent.mkdir(parents=True)
    (found / demo.DEMOS["android"].sign).write_text("")
    return found


def variants(project: Path, name: str) -> dict[str, Bundle]:
    """A bundle's variant by the name of its group."""
    groups = (project / demo.PACK / "assets").iterdir()
    return {group.name.removeprefix("bundles#group_"): open_bundle(group / name) for group in groups}


def test_each_phone_gets_what_it_can_run(project: Path, tmp_path: Path) -> None:
    chips = made_for(tmp_path / "chips", "SM8650", "SM8750")
    plain = write_bundle(tmp_path / "plain", small_checkpoint().tokenizer)
    demo.place_pack(project, [chips, plain])
    found = variants(project, "chips")
    assert found.keys() == {"other", "Qualcomm_SM8650", "Qualcomm_SM8750"}
    assert list(found["other"].manifest.units) == ["gpu"]
    for chip in ("SM8650", "SM8750"):
        bundle = found[f"Qualcomm_{chip}"]
        assert set(bundle.manifest.units) == {"gpu", f"npu:{chip}"}
        for length, path in bundle.files_of(Unit("npu", chip)).items():
            assert path.read_text() == f"compiled as model.{chip}.{length}.tflite"
        assert set(bundle.files_of(GPU).values()) == {bundle.artifact}
        assert len([path for path in bundle.directory.iterdir() if "SM8" in path.name]) == 2
    for bundle in variants(project, "plain").values():
        assert bundle.manifest == open_bundle(plain).manifest


def test_phones_are_named_as_litert_names_them(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    from ai_edge_litert.aot.ai_pack import export_lib
    from ai_edge_litert.aot.vendors.google_tensor import target as tensor
    from ai_edge_litert.aot.vendors.mediatek import target as mediatek
    from ai_edge_litert.aot.vendors.qualcomm import target as qualcomm

    bundle = open_bundle(made_for(tmp_path / "bundle", *CHIPS))
    (tmp_path / "assets").mkdir()
    mine = ElementTree.fromstring(ai_pack.lay_out([bundle], tmp_path / "assets"))
    targets = [
        qualcomm.Target(qualcomm.SocModel.SM8650),
        mediatek.Target(mediatek.SocModel.MT6989),
        tensor.Target(tensor.SocModel("Tensor_G4")),
    ]
    space = "xmlns:config='http://schemas.android.com/apk/config'"
    theirs = [
        ElementTree.fromstring(f"<r {space}>{export_lib._target_to_ai_pack_info(target)}</r>")[0]
        for target in targets
    ]

    def selectors(group: ElementTree.Element) -> list[dict[str, str]]:
        return [each.attrib for each in group.iter() if each.tag.endswith("system-on-chip")]

    assert [selectors(group) for group in mine] == [selectors(group) for group in theirs]
    names = {group.attrib["name"] for group in mine}
    assert names == {"Qualcomm_SM8650", "Mediatek_MT6989", "Google_Tensor_G4"}
    assert {path.name for path in (tmp_path / "assets").iterdir()} == {
        f"bundles#group_{name}" for name in (*names, "other")
    }


def test_bundles_are_in_the_pack_or_in_the_app(project: Path, tmp_path: Path) -> None:
    bundle = made_for(tmp_path / "bundle", "SM8650")
    assets = project / demo.DEMOS["android"].bundles
    demo.place("android", project, [bundle])
    assert (assets / "bundle" / "model.SM8650.16.tflite").is_file()
    (assets / "mine").mkdir()
    demo.place_pack(project, [bundle])
    assert {path.name for path in assets.iterdir()} == {"mine", demo.PLACED}
    demo.place_pack(project, [bundle])
    demo.place("android", project, [bundle])
    assert (assets / "bundle").is_dir()
    assert not (project / demo.PACK).exists()


def test_a_pack_that_makes_no_difference_is_refused(project: Path, tmp_path: Path) -> None:
    for name, chips in {"plain": (), "car": ("SA8295",)}.items():
        bundle = made_for(tmp_path / name, *chips)
        with pytest.raises(InputError, match=r"no bundle has a file for the NPU of a phone(.|\n)*--ai-pack"):
            demo.place_pack(project, [bundle])
    assert not (project / demo.PACK).exists()
    (project / demo.PACK).mkdir(parents=True)
    (project / demo.PACK / "mine").write_text("")
    with pytest.raises(InputError, match="remove it yourself"):
        demo.place_pack(project, [made_for(tmp_path / "chip", "SM8650")])


def test_the_libraries_of_an_npu_are_put_beside_the_app_s_own(project: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "libraries", project / demo.LIBRARIES
    source.mkdir()
    for name in (*demo.QUALCOMM, "libQnnHtpV75Stub.so", "libQnnHtpV75Skel.so", "libother.so"):
        (source / name).write_text(name)
    target.mkdir(parents=True)
    for name in ("libmine.so", "libQnnHtpV73Skel.so"):
        (target / name).write_text("")
    put = demo.place_libraries(project, source)
    assert set(put) == {*demo.QUALCOMM, "libQnnHtpV75Stub.so", "libQnnHtpV75Skel.so"}
    assert {path.name for path in target.iterdir()} == {*put, "libmine.so"}
    shutil.copy(source / "libQnnHtpV75Stub.so", source / "libQnnHtpV79Stub.so")
    (source / "libQnnHtp.so").unlink()
    with pytest.raises(InputError, match=r"lacks libQnnHtp\.so, libQnnHtpV79Skel\.so\n"):
        demo.place_libraries(project, source)
    with pytest.raises(InputError, match=r"lacks libLiteRtDispatch_Qualcomm\.so, .*V<number>Skel"):
        demo.place_libraries(project, tmp_path / "nowhere")
    assert {path.name for path in target.iterdir()} == {*put, "libmine.so"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["ios", "--ai-pack"], "allowed: either of them with android"),
        (["ios", "--npu-libraries", "."], "allowed: either of them with android"),
        (["android", "--ai-pack", "--install"], "allowed: --install without --ai-pack"),
    ],
)
def test_a_call_that_cannot_be_done_is_refused(tmp_path: Path, options: list[str], says: str) -> None:
    system, *rest = options
    result = CliRunner().invoke(app, ["demo", system, str(tmp_path), *rest])
    assert isinstance(result.exception, InputError)
    assert says in str(result.exception)


def test_the_command_line_says_where_all_of_it_is(project: Path, tmp_path: Path) -> None:
    bundle, libraries = made_for(tmp_path / "bundle", "SM8650"), tmp_path / "libraries"
    libraries.mkdir()
    for name in (*demo.QUALCOMM, "libQnnHtpV75Stub.so", "libQnnHtpV75Skel.so"):
        (libraries / name).write_text(name)
    options = ["--ai-pack", "--npu-libraries", str(libraries), "--project", str(project)]
    result = CliRunner().invoke(app, ["demo", "android", str(bundle), *options])
    assert result.exit_code == 0, result.output
    assert f"in {project / demo.PACK}" in result.stdout.replace("\n", "")
    assert "libQnnHtpV75Skel.so" in result.stderr
    assert "next: ./gradlew :app:bundleRelease" in result.stderr
