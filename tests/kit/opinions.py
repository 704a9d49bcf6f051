"""What docs/convert.md measures a student on: opinions of many subjects, and a teacher that knows them.

python -m tests.kit.opinions texts SST2 VADER UCI OUT              # what is learned from
python -m tests.kit.opinions teacher BERT ROWS_TSV BATCH RATE OUT  # a BERT, fine-tuned for one epoch

SST2 is the directory of GLUE's train.tsv and dev.tsv. VADER is the repository vaderSentiment, whose
additional_resources/hutto_ICWSM_2014.tar.gz was unpacked beside itself (MIT). UCI is the directory of the
Sentiment Labelled Sentences (Kotzias et al. 2015, CC BY 4.0).
"""

from __future__ import annotations

import html
import random
import re
import shutil
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

NAMES = ("negative", "positive")
RATED = ("amazonReviewSnippets", "nytEditorialSnippets", "tweets")  # VADER's films are those of SST-2
REVIEWED = ("amazon_cells", "imdb", "yelp")
CLEAR = 0.7  # of 4: a text that people rated nearer to 0 is neither negative nor positive
HELD = 1000  # of the opinions, to choose settings by

Opinion = tuple[str, str]


def write_texts(sst2: Path, vader: Path, uci: Path, out: Path) -> None:
    """train.tsv, dev.tsv, held.tsv, and teacher.tsv with a third of SST-2."""
    choose = random.Random(0)
    films, dev = (_read(sst2 / name) for name in ("train.tsv", "dev.tsv"))
    known = {_letters(text) for text, _ in dev}
    opinions = [each for each in [*_rated(vader), *_reviewed(uci)] if _letters(each[0]) not in known]
    choose.shuffle(opinions)
    held, opinions = opinions[:HELD], opinions[HELD:]
    training = [(_as_people_write(text) if choose.random() < 0.5 else text, label) for text, label in films]
    training += [*opinions, *opinions]
    choose.shuffle(training)
    choose = random.Random(1)
    others = set(opinions)
    films = [each for each in training if each not in others]
    choose.shuffle(films)
    taught = [*films[:22_000], *opinions, *opinions[:5000]]
    choose.shuffle(taught)
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in {"train": training, "dev": dev, "held": held, "teacher": taught}.items():
        lines = ["sentence\tlabel", *(f"{text}\t{label}" for text, label in rows)]
        (out / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _read(tsv: Path) -> list[Opinion]:
    rows = (line.rsplit("\t", 1) for line in tsv.read_text(encoding="utf-8").split("\n")[1:] if line)
    return [(text.strip(), label if label in NAMES else NAMES[int(label)]) for text, label in rows]


def _rated(vader: Path) -> list[Opinion]:
    found = []
    for name in RATED:
        path = vader / "additional_resources" / "hutto_ICWSM_2014" / f"{name}_GroundTruth.txt"
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            _, rating, text = line.split("\t", 2)
            if abs(float(rating)) >= CLEAR:
                found.append((html.unescape(text).strip().replace("\t", " "), NAMES[float(rating) > 0]))
    return found


def _reviewed(uci: Path) -> list[Opinion]:
    rows = [
        line.rsplit("\t", 1)
        for name in REVIEWED
        for line in (uci / f"{name}_labelled.txt").read_text(encoding="utf-8").split("\n")
        if line.strip()
    ]
    return [(text.strip().replace("\t", " "), NAMES[int(label)]) for text, label in rows]


def _letters(text: str) -> str:
    return re.sub(r"\W+", "", text.lower())


def _as_people_write(text: str) -> str:
    """A tokenized text of SST-2 with its spaces as people set them, and a capital at its beginning."""
    verbs = "do|does|did|is|are|was|were|wo|ca|could|would|should|have|has|had|ai|must|need"
    text = re.sub(rf"\b({verbs}) n't", r"\1n't", text)
    text = re.sub(r" ('s|'re|'ve|'ll|'d|'m)\b", r"\1", text)
    text = re.sub(r"([(\[]) ", r"\1", re.sub(r" ([,.;:!?)\]])", r"\1", text))
    text = text.replace("`` ", '"').replace(" ''", '"').replace("-lrb-", "(").replace("-rrb-", ")")
    return text[:1].upper() + text[1:]


def teach(source: Path, rows_tsv: Path, batch_size: int, rate: float, out: Path) -> None:
    """Fine-tune a BERT that tells negative from positive, and write it with its tokenizer."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    choose = random.Random(0)
    rows = _read(rows_tsv)
    tokenizer = AutoTokenizer.from_pretrained(source)
    names = {"id2label": dict(enumerate(NAMES)), "label2id": {name: at for at, name in enumerate(NAMES)}}
    network = AutoModelForSequenceClassification.from_pretrained(source, num_labels=2, **names).train()
    ids = tokenizer([text for text, _ in rows], truncation=True, max_length=128)["input_ids"]
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01, fused=True)
    order = list(range(len(rows)))
    choose.shuffle(order)
    span = batch_size * 64
    near = [sorted(order[at : at + span], key=lambda row: len(ids[row])) for at in range(0, len(order), span)]
    batches = [chunk[at : at + batch_size] for chunk in near for at in range(0, len(chunk), batch_size)]
    choose.shuffle(batches)
    for step, batch in enumerate(batches):
        padded = tokenizer.pad({"input_ids": [ids[row] for row in batch]}, return_tensors="pt")
        labels = torch.tensor([NAMES.index(rows[row][1]) for row in batch])
        rising, falling = (step + 1) / (0.06 * len(batches)), (1 - step / len(batches)) / 0.94
        optimizer.param_groups[0]["lr"] = rate * min(rising, falling, 1)
        loss = F.cross_entropy(network(**padded).logits, labels, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step} of {len(batches)}: loss {loss.item():.3f}", flush=True)
    network.save_pretrained(out)
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(source / name, out / name)


def main() -> None:
    """Run what the module's first lines show."""
    match sys.argv[1:]:
        case ["texts", *paths]:
            write_texts(*map(Path, paths))
        case ["teacher", source, rows, batch_size, rate, out]:
            teach(Path(source), Path(rows), int(batch_size), float(rate), Path(out))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
