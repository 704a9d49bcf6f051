"""Checkpoints of the Hugging Face hub, fetched into its cache; the only place that reaches the network."""

from __future__ import annotations

from pathlib import Path

from exporters.errors import InputError, UnavailableError
from squeezebert_edge.checkpoint import weights

TIMEOUT = 10.0  # seconds to wait for each answer

CONFIG_FILE = "config.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
RANGES_FILE = "quantization.json"


def fetch(repository: str, revision: str | None = None) -> Path:
    """The directory in the hub's cache that holds a repository's config, tokenizer and weights.

    Only those files are fetched. When the hub does not answer, what the cache already has is used.

    Args:
        repository: owner/name.
        revision: a branch, tag or commit; by default the main branch.

    Raises:
        InputError: no such repository or revision, no right to read it, or nothing in it to load.
        UnavailableError: the hub does not answer, and the cache has no copy.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub import errors as hub

    name = f"{repository}@{revision}" if revision else repository
    try:
        # snapshot_download would wait without limit for a silent server; these two calls do not.
        info = HfApi().model_info(repository, revision=revision, timeout=TIMEOUT)
        for file in _files_to_fetch(name, [sibling.rfilename for sibling in info.siblings or []]):
            path = hf_hub_download(repository, file, revision=info.sha, etag_timeout=TIMEOUT)
    except InputError:
        raise
    except hub.HFValidationError as error:
        raise InputError(
            f"{name} is not a directory here and cannot be a hub id: {error}",
            allowed="a directory, or owner/name",
        ) from error
    except hub.GatedRepoError as error:
        raise InputError(
            f"{name} is gated: its owner must grant access", hint="ask on its page, then: hf auth login"
        ) from error
    except hub.RevisionNotFoundError as error:
        raise InputError(
            f"{repository} has no revision {revision}", allowed="a branch, tag or commit of it"
        ) from error
    except hub.RepositoryNotFoundError as error:
        raise InputError(
            f"{name} is not a directory here, and the hub has no such model, or none that may be read",
            allowed="a directory in Hugging Face's layout, or a hub id (owner/name)",
            hint="check the spelling; for a private model: hf auth login",
        ) from error
    except Exception as error:  # the HTTP client's own errors differ between huggingface_hub's versions
        return _find_in_cache(repository, revision, error)
    return Path(path).parent


def _files_to_fetch(name: str, present: list[str]) -> list[str]:
    weight_files = weights.select_files(present)
    tokenizer_files = [file for file in (*TOKENIZER_FILES, RANGES_FILE) if file in present]
    weights.refuse_adapter(name, present)
    if CONFIG_FILE not in present or not weight_files:
        lacking = CONFIG_FILE if CONFIG_FILE not in present else "weights"
        raise InputError(
            f"{name} has no {lacking}: it holds {weights.list_names(sorted(present), 10) or 'nothing'}",
            allowed=f"{CONFIG_FILE}, vocab.txt or tokenizer.json, and {' or '.join(weights.FILE_NAMES)}",
        )
    return [*tokenizer_files, *weight_files, CONFIG_FILE]


def _find_in_cache(repository: str, revision: str | None, cause: Exception) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, CONFIG_FILE, revision=revision, local_files_only=True)).parent
    except LocalEntryNotFoundError:
        raise UnavailableError(
            f"{repository} is not a directory here, and the hub cannot be reached: "
            f"{type(cause).__name__}: {str(cause).partition(chr(10))[0]}",
            hint="run again with a connection, or fetch it elsewhere and name the directory",
        ) from cause
