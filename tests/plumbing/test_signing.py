"""What a key signs is refused when it is altered, signed by another key, or not signed at all."""

from __future__ import annotations

import hashlib
import hmac
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exporters.errors import GateError, InputError
from squeezebert_edge.bundle.opened import open_bundle
from squeezebert_edge.cli.commands import app
from squeezebert_edge.latency import record
from squeezebert_edge.plumbing.signing import Key
from squeezebert_edge.report.rows import collect
from tests.demos.cases import RECORDS
from tests.demos.tokenizer_cases import write_bundle
from tests.kit.small import small_checkpoint

SECRET = b"0123456789abcdef" * 4


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def keyfile(tmp_path: Path) -> Path:
    path = tmp_path / "team.key"
    path.write_bytes(SECRET + b"\n")
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = write_bundle(tmp_path / "tflite-fp32", small_checkpoint().tokenizer)
    open_bundle(directory).sign(Key(SECRET))
    return directory


def test_a_signature_is_an_hmac_of_the_content(bundle: Path) -> None:
    seal = (bundle / "manifest.sha256").read_text().strip()
    expected = hmac.new(SECRET, b"bundle\0" + seal.encode(), hashlib.sha256).hexdigest()
    assert bundle.with_name("tflite-fp32.hmac").read_text() == f"{expected}\n"


def test_what_is_signed_is_taken(bundle: Path, keyfile: Path) -> None:
    open_bundle(bundle).require_signature(Key.read(keyfile))
    assert call("report", bundle, "--sign", keyfile).exit_code == 0


def _unsign(bundle: Path) -> None:
    bundle.with_name(f"{bundle.name}.hmac").unlink()


def _sign_by_another(bundle: Path) -> None:
    open_bundle(bundle).sign(Key(SECRET[::-1]))


def _make_anew(bundle: Path) -> None:
    shutil.rmtree(bundle)
    write_bundle(bundle, small_checkpoint().tokenizer, labels=["positive", "negative"])


@pytest.mark.parametrize("verb", ["report", "verify", "bench"])
@pytest.mark.parametrize(
    ("change", "says"),
    [(_unsign, "is not signed"), (_sign_by_another, "not by this key"), (_make_anew, "not as it was signed")],
)
def test_what_is_not_signed_is_refused(
    bundle: Path, keyfile: Path, verb: str, change: Callable[[Path], None], says: str
) -> None:
    change(bundle)
    result = call(verb, bundle, "--sign", keyfile)
    assert isinstance(result.exception, GateError)
    assert says in result.exception.problem


def test_records_are_signed_as_they_are_written(tmp_path: Path, keyfile: Path) -> None:
    key = Key.read(keyfile)
    path = record.write(record.read(RECORDS[0]), tmp_path / "records", key)
    assert collect([path.parent], key=key).records == (record.read(path, key),)
    path.write_text(path.read_text().replace('"time":"20', '"time":"21', 1))
    with pytest.raises(GateError, match="not as it was signed"):
        collect([path.parent], key=key)
    with pytest.raises(GateError, match="not as it was signed"):
        record.read(path, key)


def test_the_key_may_stand_in_the_environment(
    bundle: Path, keyfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _unsign(bundle)
    assert call("report", bundle).exit_code == 0
    monkeypatch.setenv("SQUEEZEBERT_EDGE_KEY", str(keyfile))
    assert isinstance(call("report", bundle).exception, GateError)


def test_a_key_that_is_too_short_is_refused(tmp_path: Path) -> None:
    short = tmp_path / "short.key"
    short.write_bytes(b"secret\n")
    with pytest.raises(InputError, match="holds 6 bytes, too few for a key"):
        Key.read(short)
    assert "SECRET" not in repr(Key(SECRET))
