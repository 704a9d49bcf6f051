"""Signatures with a key that a team shares: HMAC-SHA256, in a file beside what is signed.

A signature says that who holds the key made, or checked, exactly this content. Without the key, records whose
statistics were all computed anew, and bundles whose manifest was, cannot be told from real ones.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from pathlib import Path

from exporters.errors import GateError, InputError
from squeezebert_edge.plumbing.reading import read_bytes, read_text
from squeezebert_edge.plumbing.staging import write_whole

SUFFIX = ".hmac"
SHORTEST_KEY, LONGEST_KEY = 32, 4096  # bytes
LONGEST_SIGNATURE = 128  # bytes; it has 65


@dataclass(frozen=True)
class Key:
    """A secret. Bundles and records are signed by it as such, so that none passes for the other."""

    secret: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Key:
        """The key that a file holds, but for white space at its ends.

        Raises:
            InputError: it cannot be read, or holds too little for a key.
        """
        secret = read_bytes(path, LONGEST_KEY).strip()
        if len(secret) < SHORTEST_KEY:
            raise InputError(
                f"{path} holds {len(secret)} bytes, too few for a key",
                allowed=f"{SHORTEST_KEY} to {LONGEST_KEY} random bytes",
                hint=f"openssl rand -hex 32 > {path}",
            )
        return cls(secret)

    def sign(self, path: Path, kind: str, content: bytes) -> None:
        """Write the signature of a file's or directory's content beside it.

        Args:
            kind: what it is, in a word.
            content: what stands for all of it.

        Raises:
            CannotWriteError: nothing can be written there.
        """
        write_whole(_beside(path), self._signature(kind, content) + "\n")

    def require(self, path: Path, kind: str, content: bytes) -> None:
        """Raise GateError if a file or directory is not signed by this key, or was altered since."""
        beside = _beside(path)
        hint = "sign what you trust anew, with --sign where it is made"
        try:
            signature = read_text(beside, LONGEST_SIGNATURE).strip()
        except InputError as error:
            raise GateError(f"{path} is not signed: {error.problem}", hint=hint) from None
        if not hmac.compare_digest(signature.encode(), self._signature(kind, content).encode()):
            raise GateError(
                f"{path} is not as it was signed, or not by this key: {beside.name} does not fit",
                hint=hint,
            )

    def _signature(self, kind: str, content: bytes) -> str:
        return hmac.new(self.secret, kind.encode() + b"\0" + content, hashlib.sha256).hexdigest()


def _beside(path: Path) -> Path:
    whole = path.resolve()
    return whole.with_name(whole.name + SUFFIX)
