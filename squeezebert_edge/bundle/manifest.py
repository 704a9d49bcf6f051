"""What is on disk: an artifact, its vocabulary and a manifest that says what they are."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from exporters.errors import InputError, quote
from exporters.spec import ComputedBy, Delegation, Structure, TensorSpec
from squeezebert_edge.plumbing.reading import decode, first_error, open_regular, parse_json

MANIFEST, VOCABULARY = "manifest.json", "vocab.txt"
LARGEST_FILE = 4 << 30  # bytes; a .tflite or .pte ends at half of that
SEAL = "manifest.sha256"  # the manifest's own hash: it holds those of all other files


FormatName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
UnitName = Annotated[str, Field(pattern=r"^(cpu-fp16|gpu|npu:[A-Za-z0-9_]+)$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]  # of something in the bundle itself


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Record):
    """The checkpoint a bundle was made from, as it was named, and the hash of its contents."""

    checkpoint: str
    sha256: str


class Precision(_Record):
    """What was asked for, and what it means for weights and activations.

    name: as it was asked for; exact: what it stands for in this format, and decided_by the machine that
        measured it to be the best.
    tried: what the name would have stood for before, had it passed: exact precision -> why it did not.
    granularity: over what one quantization scale reaches; null where nothing is quantized.
    kept_float: parts of the network whose products stay in float, so that an accuracy is kept.
    """

    name: str
    exact: str
    decided_by: str
    weights: str
    activations: str
    granularity: str | None = None
    kept_float: list[str] = Field(default_factory=list)
    tried: dict[str, str] = Field(default_factory=dict)


class Calibration(_Record):
    """Where the scales of activations came from, for precisions that set them beforehand.

    learned: products whose ranges came with the checkpoint, from quantization-aware training.
    calibrated: products whose ranges were found on the text of `source`, a file's name; `sha256` is that of
        its contents, `rows` how many were run.
    """

    learned: list[str]
    calibrated: list[str]
    source: str | None = None
    sha256: str | None = None
    rows: int = 0


class Recipe(_Record):
    """What made a bundle, as sha256: whether it would be made again as it is.

    asked: what was asked for, by name: the checkpoint, format, precision, lengths and other settings.
    made_of: the same with its contents: the checkpoint's, the calibration data's, the code and every package.
    """

    asked: str
    made_of: str


class TokenizerRecord(_Record):
    """BERT's WordPiece as the checkpoint configured it."""

    lower_case: bool
    strip_accents: bool
    cjk: bool
    max_word: int
    special_tokens: dict[str, str]


class Verification(_Record):
    """How the artifact compared with the float reference.

    status: whether every gate held; "not verified" if it could not be computed here, `failures` says why.
    by: what computed the artifact's outputs: its runtime; an evaluator of Core ML's programs; LiteRT's GPU
        accelerator over WebGPU; Qualcomm's emulator of its NPU; or, in float16, a processor that adds up in
        float32.
    max_abs_error: the largest difference of any output, and max_abs_reference the largest reference output.
    sqnr_db: variance of the reference over the mean squared error, in dB, of the worst output.
    agreement: share of equal top-1 decisions; null where the outputs decide nothing.
    inputs: rows compared, over all lengths.
    padding_error: the largest change of an answer by more padding, or by what stands in the padding, and
        padding_sqnr_db the answers' variance over the mean square of such changes, in dB.
    weights: share of the network's weights that were read back from the artifact and are the checkpoint's,
        to their rounding; null where they were not compared: a runtime that does not give them back, or files
        compiled for a unit.
    proven_sha256: the hash of the files that this is the proof of, `Manifest.hash_of`; null in older bundles.
    """

    status: Literal["verified", "failed", "not verified"]
    by: ComputedBy | None
    max_abs_error: float | None = None
    max_abs_reference: float | None = None
    sqnr_db: float | None = None
    agreement: float | None = None
    inputs: int = 0
    padding_error: float | None = None
    padding_sqnr_db: float | None = None
    weights: float | None = None
    gates: dict[str, float] = Field(default_factory=dict)
    failures: list[str] = Field(default_factory=list)
    proven_sha256: str | None = None

    @property
    def words(self) -> str:
        """The status, with what computed the outputs where that was not the runtime itself."""
        return self.status + COMPUTED_BY.get(self.by or "runtime", "")


COMPUTED_BY = {
    "mil-evaluator": " (MIL)",
    "webgpu": " (WebGPU)",
    "qualcomm-emulator": " (emulator)",
    "float16-rounding": " (float32 sums)",  # by a processor that rounds to float16 and does not compute in it
}


class UnitRecord(_Record):
    """How a compute unit beside the CPU runs the bundle, and the proof of it.

    files: length -> the file that serves it: compiled for the unit, or the artifact itself.
    form, form_decided_by: as the bundle has them, of what the files were made from.
    arithmetic: what the unit computes with. partitions: into how many pieces the operators inside it fall.
    versions: of what shaped the files or judged them. warnings: what the tools say of their versions.
    """

    files: dict[int, FileName]
    form: str
    form_decided_by: str
    arithmetic: str
    delegation: Delegation
    partitions: int
    versions: dict[str, str]
    warnings: list[str] = Field(default_factory=list)
    verification: Verification


class Manifest(_Record):
    """manifest.json.

    recipe: what made it; null in older bundles.
    structure: of Core ML programs only.
    form_decided_by: what measured it to be the best here, or the user who asked for it.
    float_operators: how many of each operator still compute with floats; integer-only is what has none.
    unit: the compute unit that `delegation` and `verification` are of; null where the phone decides which one
        runs the artifact, as Core ML does.
    units: further compute units that it was made and proven for, by name: "cpu-fp16", "gpu", or
        "npu:" and the chip.
    files: the hashes of every other file, by path in the bundle.
    """

    schema_version: Literal[1]
    source: Source
    recipe: Recipe | None = None
    format: FormatName
    artifact: FileName
    task: Literal[
        "text-classification",
        "multiple-choice",
        "token-classification",
        "question-answering",
        "fill-mask",
        "feature-extraction",
    ]
    problem_type: Literal["regression", "single_label_classification", "multi_label_classification"] | None
    labels: list[str]
    precision: Precision
    calibration: Calibration | None = None
    form: str
    form_decided_by: str
    lengths: list[PositiveInt]
    entry_points: dict[int, str]
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    tokenizer: TokenizerRecord
    target: str | None
    versions: dict[str, str]
    delegation: Delegation
    structure: Structure | None = None
    float_operators: dict[str, int]
    verification: Verification
    unit: Literal["cpu"] | None = "cpu"
    units: dict[UnitName, UnitRecord] = Field(default_factory=dict)
    files: dict[str, str]

    @model_validator(mode="before")
    @classmethod
    def _fill_unit(cls, fields: Any) -> Any:
        """Manifests of before have no unit: phones decided about Core ML's then, too."""
        if isinstance(fields, dict) and "unit" not in fields and fields.get("format") == "coreml":
            return {**fields, "unit": None}
        return fields

    @property
    def proofs(self) -> list[Verification]:
        """The proof of the artifact and those of its further units."""
        return [self.verification, *(unit.verification for unit in self.units.values())]

    def hash_of(self, unit: str | None = None) -> str:
        """The hash of what a further unit runs, or of the artifact: of the names and hashes of its files."""
        if unit is None:
            whole = (self.artifact, f"{self.artifact}/")
            names = [name for name in self.files if name == whole[0] or name.startswith(whole[1])]
        else:
            names = list({*self.units[unit].files.values()})
        listed = "".join(f"{self.files[name]} {name}\n" for name in sorted(names))
        return hashlib.sha256(listed.encode()).hexdigest()

    def naming_what_is_proven(self) -> Manifest:
        """The same with the hash of its files in each proof."""

        def named(proof: Verification, unit: str | None) -> Verification:
            return proof.model_copy(update={"proven_sha256": self.hash_of(unit)})

        units = {
            name: record.model_copy(update={"verification": named(record.verification, name)})
            for name, record in self.units.items()
        }
        return self.model_copy(update={"verification": named(self.verification, None), "units": units})

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if not self.lengths or self.lengths != sorted(set(self.lengths)):
            raise ValueError(f"the lengths are {quote(self.lengths)}, and should ascend")
        if sorted(self.entry_points) != self.lengths:
            raise ValueError(f"the entry points have the lengths {quote(sorted(self.entry_points))}")
        return self


def unit_in_words(name: str | None) -> str:
    """A compute unit as tables show it."""
    return name or "decided on the phone"


def parse_manifest(path: Path, content: bytes) -> Manifest:
    """A manifest from the content of its file.

    Raises:
        InputError: not a manifest, or of a schema that this version does not know.
    """
    try:
        document = parse_json(decode(content, "it"), "it")  # strictly, as pydantic does not
    except InputError as error:
        raise InputError(f"{path}: not a manifest: {error.problem}") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version not in (None, 1):
        raise InputError(
            f"{path}: schema_version {quote(version)}",
            allowed="1",
            hint="open it with the version of squeezebert-edge that wrote it, or export again",
        )
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise InputError(f"{path}: not a manifest: {first_error(error)}") from None


def files(directory: Path) -> dict[str, Path]:
    """Every file but the manifest and its seal, by path in the bundle.

    Raises:
        InputError: something there is neither a file nor a directory.
    """
    found = {}
    for path in sorted(directory.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            found[path.relative_to(directory).as_posix()] = path
        elif not stat.S_ISDIR(mode):
            kind = "a link" if stat.S_ISLNK(mode) else "a pipe, a socket or a device"
            raise InputError(f"{path}: {kind}, where a bundle has files only")
    return {name: path for name, path in found.items() if name not in (MANIFEST, SEAL)}


def sha256(path: Path) -> str:
    """The hash of a file's content."""
    with open_regular(path, LARGEST_FILE) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def write_manifest(directory: Path, fields: Mapping[str, object], *, proven: bool = False) -> Manifest:
    """Complete a bundle with its manifest.

    Args:
        fields: the manifest's without the hashes.
        proven: whether the proofs among them are of the files that are there now.
    """
    written = {name: sha256(path) for name, path in files(directory).items()}
    manifest = Manifest.model_validate({"schema_version": 1, **fields, "files": written})
    if proven:
        manifest = manifest.naming_what_is_proven()
    content = (manifest.model_dump_json(indent=2) + "\n").encode()
    (directory / MANIFEST).write_bytes(content)
    (directory / SEAL).write_text(hashlib.sha256(content).hexdigest() + "\n", encoding="ascii")
    return manifest
