"""A tokenizer as Hugging Face's files hold it: read if it is BERT's WordPiece, or refused with the reason.

The words are in tokenizer.json or vocab.txt; the settings in tokenizer.json, tokenizer_config.json and
special_tokens_map.json. Files that contradict each other are refused, because the `tokenizers` library and
transformers then give different ids for the same checkpoint.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from exporters.errors import InputError, quote
from squeezebert_edge.plumbing.reading import CONTENTS, read_object
from squeezebert_edge.text.vocabulary import ROLES, TokenizerFlags, bert_special_tokens, read_vocab

# Setting -> its key in tokenizer_config.json. transformers knows no key for the word length (it always uses
# 100); ours is the name that tokenizer.json gives it.
_CONFIG_KEYS = {
    "lower_case": "do_lower_case",
    "strip_accents": "strip_accents",
    "cjk": "tokenize_chinese_chars",
    "max_word": "max_input_chars_per_word",
}

_BERT_CLASSES = ("BertTokenizer", "BertTokenizerFast", "SqueezeBertTokenizer", "SqueezeBertTokenizerFast")
_GENERIC_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")  # all is in tokenizer.json, they say

# tokenizer_config.json keys that would change the tokens or their places -> the values that do not.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "do_basic_tokenize": (True,),
    "never_split": (None, []),
    "split_special_tokens": (False,),
    "padding_side": ("right",),
    "truncation_side": ("right",),
    "additional_special_tokens": ([], None),
    "extra_special_tokens": ([], {}, None),
}

_DEFAULTS: dict[str, Any] = {"lower_case": True, "strip_accents": None, "cjk": True, **bert_special_tokens()}


def read(directory: Path) -> tuple[list[str], TokenizerFlags]:
    """The words, row by row, and the flags of a checkpoint's tokenizer.

    Raises:
        InputError: no vocabulary can be read, the tokenizer is not BERT's, or files disagree.
    """
    config = _read_json(directory / "tokenizer_config.json")
    special_map = _read_json(directory / "special_tokens_map.json")
    said = _merge_claims(
        {
            "tokenizer_config.json": _settings(config, "tokenizer_config.json"),
            "special_tokens_map.json": _settings(special_map, "special_tokens_map.json"),
        }
    )
    added = [*_added_tokens(config), *_read_json(directory / "added_tokens.json").items()]
    whole_file, vocab_file = directory / "tokenizer.json", directory / "vocab.txt"
    generic = _is_generic(config, allowed=whole_file.exists())
    if whole_file.exists():
        whole = _read_tokenizer_json(whole_file)
        settings = _bert_settings(whole)
        words = _words_by_id(whole["model"]["vocab"])
        if vocab_file.exists():
            _check_same_words(words, read_vocab(vocab_file))
        # Where the other files are silent, transformers' BertTokenizer takes its own defaults instead.
        claims = {
            "tokenizer_config.json (or transformers' default)": said if generic else _DEFAULTS | said,
            "tokenizer.json": settings,
        }
        said = _merge_claims({file: _resolve_accents(claim) for file, claim in claims.items()})
        added += [(_token(token, "tokenizer.json"), token["id"]) for token in whole["added_tokens"]]
    elif vocab_file.exists():
        words = read_vocab(vocab_file)
    else:
        raise InputError(
            f"{directory} has no vocabulary",
            allowed="tokenizer.json or vocab.txt",
            hint="save the tokenizer beside the model: tokenizer.save_pretrained(DIRECTORY)",
        )
    tokens = bert_special_tokens() | {role: said.pop(role) for role in ROLES if role in said}
    flags = TokenizerFlags(**said, special_tokens=tokens)
    for file, entries in (("tokenizer_config.json", config), ("special_tokens_map.json", special_map)):
        _refuse_other_special_tokens(entries, tokens, file)
    _refuse_added_tokens(added, words, flags)
    return words, flags


def write(directory: Path, vocab: Sequence[str], flags: TokenizerFlags) -> None:
    """Write vocab.txt and tokenizer_config.json, which transformers reads to the same tokenizer.

    It has no setting for `max_word`: where that is not 100, words between the two lengths differ there.
    """
    (directory / "vocab.txt").write_text(
        "".join(f"{word}\n" for word in vocab), encoding="utf-8", newline="\n"
    )
    config: dict[str, Any] = {"tokenizer_class": "SqueezeBertTokenizer"}
    config |= {key: getattr(flags, name) for name, key in _CONFIG_KEYS.items()}
    config |= {f"{role}_token": flags.special_tokens[role] for role in ROLES}
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (directory / "tokenizer_config.json").write_text(text, encoding="utf-8", newline="\n")


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty when there is no such file."""
    return read_object(path, CONTENTS) if os.path.lexists(path) else {}


def _refusal(what: str, allowed: str, *, file: str = "tokenizer.json") -> InputError:
    """The error for a tokenizer that is not BERT's."""
    return InputError(
        f"{file}: {what}",
        allowed=allowed,
        hint="SqueezeBERT's tokenizer is BERT's WordPiece; a bundle can carry no other",
    )


def _is_generic(config: Mapping[str, Any], *, allowed: bool) -> bool:
    """Whether tokenizer_config.json leaves everything to tokenizer.json, which must then be there."""
    classes = _BERT_CLASSES + (_GENERIC_CLASSES if allowed else ())
    if config.get("tokenizer_class") not in (None, *classes):
        what = f"tokenizer_class is {quote(config['tokenizer_class'])}"
        raise _refusal(what, ", ".join(classes), file="tokenizer_config.json")
    return config.get("tokenizer_class") in _GENERIC_CLASSES


def _settings(entries: Mapping[str, Any], file: str) -> dict[str, Any]:
    """What tokenizer_config.json or special_tokens_map.json says."""
    for key, neutral in _NEUTRAL.items():
        if key in entries and entries[key] not in neutral:
            raise _refusal(f"{key} is {quote(entries[key])}", json.dumps(neutral[0]), file=file)
    settings = {name: entries[key] for name, key in _CONFIG_KEYS.items() if key in entries}
    for key, entry in entries.items():
        role = key.removesuffix("_token")
        if role in ROLES and role != key:
            settings[role] = _token(entry, file)
    return settings


def _refuse_other_special_tokens(entries: Mapping[str, Any], tokens: Mapping[str, str], file: str) -> None:
    """Refuse a token of another role, such as bos, but where it is one of BERT's, which changes nothing."""
    for key, entry in entries.items():
        role = key.removesuffix("_token")
        if role == key or role in ROLES or not isinstance(entry, str | dict):
            continue
        if _token(entry, file) not in tokens.values():
            raise _refusal(f"its {key} is {_token(entry, file)!r}", ", ".join(tokens.values()), file=file)


def _token(entry: Any, file: str) -> str:
    """The text of a special token, which transformers writes as a string or as an AddedToken's fields."""
    if isinstance(entry, str):
        return entry
    if not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
        raise _refusal(f"{quote(entry)} is given as a special token", "a string, or an AddedToken", file=file)
    for option in ("lstrip", "rstrip", "single_word", "normalized"):
        if entry.get(option):
            raise _refusal(f"{quote(entry['content'])} has {option} set", f"{option} false", file=file)
    return str(entry["content"])


def _read_tokenizer_json(path: Path) -> dict[str, Any]:
    """tokenizer.json as this version of `tokenizers` writes it, so that older spellings need no care here.

    Its words are the file's own: the library would drop one of two with the same id without a word. It makes
    a table as long as the largest id, and compiles whatever steps there are, so both are looked at before.
    """
    stated = read_object(path, CONTENTS)
    _refuse_other_steps(stated)
    vocab = stated["model"].get("vocab")
    if not isinstance(vocab, dict):
        raise _refusal(f"its vocab is {quote(vocab)}", "an object of words with their ids")
    _words_by_id(vocab)
    needed = {name: step for name, step in stated.items() if name not in ("decoder", "truncation", "padding")}
    try:
        whole: dict[str, Any] = json.loads(Backend.from_str(json.dumps(needed)).to_str())
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"{path} cannot be read as a tokenizer: {error}") from error
    _refuse_other_steps(whole)
    whole["model"]["vocab"] = vocab
    return whole


def _refuse_other_steps(document: Mapping[str, Any]) -> None:
    """Refuse a tokenizer.json whose steps are not BERT's; one that does not say what it is passes."""
    steps = {"normalizer": "BertNormalizer", "pre_tokenizer": "BertPreTokenizer", "model": "WordPiece"}
    for name, wanted in steps.items():
        step = document.get(name)
        kind = step.get("type", wanted) if isinstance(step, dict) else step
        if kind != wanted:
            shown = "missing" if kind is None else quote(kind).strip("'")
            raise _refusal(f"its {name} is {shown}", wanted)


def _bert_settings(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a tokenizer.json, refused if they are not BERT's."""
    model, normalizer = whole["model"], whole["normalizer"]
    if model["continuing_subword_prefix"] != "##":
        raise _refusal(f"pieces inside a word start with {quote(model['continuing_subword_prefix'])}", "##")
    if not normalizer["clean_text"]:
        raise _refusal("clean_text is false: control characters stay", "clean_text true")
    return {
        "lower_case": normalizer["lowercase"],
        "strip_accents": normalizer["strip_accents"],
        "cjk": normalizer["handle_chinese_chars"],
        "max_word": model["max_input_chars_per_word"],
        "unk": model["unk_token"],
    } | _frame_tokens(whole["post_processor"] or {"type": "missing"})


def _words_by_id(vocab: Mapping[str, Any]) -> list[str]:
    if any(type(row) is not int for row in vocab.values()) or sorted(vocab.values()) != [*range(len(vocab))]:
        raise _refusal(
            f"the ids of its {len(vocab)} words have gaps or repeat", f"0 to {len(vocab) - 1}, each once"
        )
    return sorted(vocab, key=vocab.__getitem__)


def _frame_tokens(processor: Mapping[str, Any]) -> dict[str, str]:
    """The cls and sep tokens of a post-processor that frames texts as BERT does."""
    if processor["type"] == "BertProcessing":
        return {"cls": processor["cls"][0], "sep": processor["sep"][0]}
    if processor["type"] != "TemplateProcessing":
        raise _refusal(f"its post_processor is {processor['type']}", "BertProcessing or TemplateProcessing")
    single, pair = ([_template_piece(piece) for piece in processor[key]] for key in ("single", "pair"))
    cls, sep = (single[0][0], single[2][0]) if len(single) == 3 else ("", "")
    first, second = [(cls, 0), ("sequence A", 0), (sep, 0)], [("sequence B", 1), (sep, 1)]
    if single != first or pair != first + second:
        raise _refusal(
            "its post_processor frames texts otherwise", "CLS A SEP, and CLS A SEP B SEP with types 0, 1"
        )
    return {"cls": cls, "sep": sep}


def _template_piece(piece: Mapping[str, Any]) -> tuple[str, int]:
    [(kind, value)] = piece.items()
    return ("sequence " if kind == "Sequence" else "") + value["id"], value["type_id"]


def _check_same_words(words: Sequence[str], lines: Sequence[str]) -> None:
    if list(words) == list(lines):
        return
    differing = (row for row, (word, line) in enumerate(zip(words, lines, strict=False)) if word != line)
    row = next(differing, None)
    where = (
        f"{len(words)} words in one and {len(lines)} in the other"
        if row is None
        else f"id {row} is {quote(words[row])} in one and {quote(lines[row])} in the other"
    )
    raise InputError(
        f"tokenizer.json and vocab.txt disagree: {where}",
        hint="remove the one that the model was not trained with",
    )


def _resolve_accents(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that say what None for strip_accents means, so that two files can be compared."""
    if settings.get("strip_accents") is not None:
        return dict(settings)
    known = {name: value for name, value in settings.items() if name != "strip_accents"}
    if "strip_accents" in settings and "lower_case" in settings:
        known["strip_accents"] = settings["lower_case"]
    return known


def _merge_claims(claims: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the files (name -> settings) say together; refused where two of them contradict each other."""
    agreed: dict[str, Any] = {}
    said_by: dict[str, str] = {}
    for file, settings in claims.items():
        for name, value in settings.items():
            if agreed.setdefault(name, value) != value:
                raise InputError(
                    f"{said_by[name]} says {name} is {quote(agreed[name])}, {file} says {quote(value)}",
                    hint="correct the one that the model was not trained with",
                )
            said_by.setdefault(name, file)
    return agreed


def _added_tokens(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    decoder = config.get("added_tokens_decoder", {})
    if not isinstance(decoder, dict):
        raise _refusal("added_tokens_decoder is not an object", "id -> token", file="tokenizer_config.json")
    return [(_token(token, "tokenizer_config.json"), row) for row, token in decoder.items()]


def _refuse_added_tokens(
    added: Iterable[tuple[str, Any]], words: Sequence[str], flags: TokenizerFlags
) -> None:
    """Refuse added tokens. Text is searched for them before it is cut, and a bundle cannot say so."""
    for token, row in added:
        if token not in flags.special_tokens.values():
            raise _refusal(
                f"{quote(token)} is added to the vocabulary",
                "no added tokens but the special ones",
                file="tokenizer",
            )
        if not re.fullmatch("[0-9]{1,9}", str(row)) or words[int(row) : int(row) + 1] != [token]:
            raise _refusal(
                f"{quote(token)} is added with the id {quote(row)}",
                "its row of the vocabulary",
                file="tokenizer",
            )
