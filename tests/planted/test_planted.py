"""Faults planted in a copy of a bundle, its hashes made anew: none of them answers a user."""

from __future__ import annotations

from pathlib import Path

import pytest

import exporters
from exporters.errors import InputError
from exporters.spec import Description, Format
from squeezebert_edge.bundle.opened import Bundle, open_bundle
from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
from squeezebert_edge.verbs.export import export_bundles
from squeezebert_edge.verbs.plan import Plan
from squeezebert_edge.verbs.verify import verify_bundle
from tests.kit.faults import FAULTS, UNIT_FAULTS, Fields, planted
from tests.kit.small import save_small
from tests.kit.vectors import bundle_of

LENGTHS = (16, 32)


@pytest.fixture(scope="module", params=exporters.names())
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    directory = tmp_path_factory.mktemp("planted")
    checkpoint = load_checkpoint(save_small(directory / "checkpoint", num_hidden_layers=1))
    (bundle,) = export_bundles(checkpoint, Plan([(request.param, "fp32")], LENGTHS), directory)
    return bundle


def test_a_bundle_of_an_earlier_version_passes(
    made: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave_open(fields: Fields, directory: Path) -> None:
        fields["problem_type"] = None

    said = made.manifest.source.sha256
    describe = Format.describe
    silent = {"vocabulary_sha256", "problem_type"}

    def earlier(self: Format, path: Path) -> Description | None:
        found = describe(self, path)
        assert found is not None
        assert found.metadata["source_sha256"] == said
        kept = {name: text for name, text in found.metadata.items() if name not in silent}
        return found._replace(metadata=kept)

    monkeypatch.setattr(Format, "describe", earlier)
    open_bundle(planted(made.directory, tmp_path / "copy", leave_open)).load_checkpoint()


def test_an_honest_bundle_passes(made: Bundle) -> None:
    opened = open_bundle(made.directory)
    said = exporters.get(made.manifest.format).describe(made.artifact)
    assert said is not None
    assert said.entry_points == made.manifest.entry_points
    assert said.metadata["source_sha256"] == made.manifest.source.sha256
    assert verify_bundle(opened).status == "verified"
    assert opened("a good film").keys() >= {"label", "score"}


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_refused_when_opened(made: Bundle, tmp_path: Path, fault: str) -> None:
    plant, told_by, _ = FAULTS[fault]
    copy = planted(made.directory, tmp_path / "copy", plant)
    with pytest.raises(InputError, match=f"manifest and the artifact contradict.* {told_by}"):
        open_bundle(copy)


@pytest.mark.parametrize("fault", [name for name, (_, _, told) in FAULTS.items() if told])
def test_the_proof_refuses_it_whatever_the_artifact_says(
    made: Bundle, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, told_by, _ = FAULTS[fault]
    monkeypatch.setattr(Format, "describe", lambda self, path: None)
    bundle = open_bundle(planted(made.directory, tmp_path / "copy", plant))
    with pytest.raises(InputError, match=f"manifest and the checkpoint contradict.* {told_by}"):
        bundle.load_checkpoint()


@pytest.mark.parametrize("format_", exporters.names())
def test_a_bundle_of_the_vectors_passes(format_: str) -> None:
    assert open_bundle(bundle_of(format_)).manifest.format == format_


@pytest.mark.parametrize("fault", UNIT_FAULTS)
def test_what_a_units_own_file_says_is_held_against_the_manifest(tmp_path: Path, fault: str) -> None:
    plant, told_by = UNIT_FAULTS[fault]
    copy = planted(bundle_of("tflite"), tmp_path / "copy", plant)
    with pytest.raises(InputError, match=f"manifest and the file model.* contradict.* {told_by}"):
        open_bundle(copy)
