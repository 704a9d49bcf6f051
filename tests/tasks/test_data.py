"""Labelled files in their usual forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporters.errors import InputError
from squeezebert_edge.tasks import data
from squeezebert_edge.tasks.data import Example


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_glue_sentences_keep_their_quotes(tmp_path: Path) -> None:
    path = written(tmp_path, 'sentence\tlabel\nso-called "art\t0\r\n" fun\t1\n')
    assert data.read_texts(path) == [Example('so-called "art', label="0"), Example('" fun', label="1")]


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        ("index\tquestion\tsentence\tlabel", ("q", "s")),
        ("label\tsentence1\tsentence2", ("s1", "s2")),
        ("premise\thypothesis\tlabel", ("p", "h")),
        ("text\tlabel", ("t",)),
        ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", ("q1", "q2")),
        ("Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", ("s1", "s2")),
        ("index\tgenre\tsource1\tsentence1\tsentence2\tscore", ("s1", "s2")),
        ("index\tsentence1_parse\tsentence1\tsentence2\tlabel1\tgold_label", ("s1", "s2")),
    ],
)
def test_columns_are_found_by_their_usual_names(tmp_path: Path, header: str, texts: tuple[str, ...]) -> None:
    short = {"question": "q", "sentence": "s", "sentence1": "s1", "sentence2": "s2"}
    short |= {"premise": "p", "hypothesis": "h", "text": "t", "question1": "q1", "question2": "q2"}
    short |= {"#1 String": "s1", "#2 String": "s2"}
    short |= dict.fromkeys(("label", "gold_label", "score", "is_duplicate", "Quality"), "l")
    row = "\t".join(short.get(name, "-") for name in header.split("\t"))
    assert data.read_texts(written(tmp_path, f"{header}\n{row}\n")) == [Example(*texts, label="l")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("sentence\tlabel\n", "no examples"),
        ("sentence\tlabel\na\tb\nonly one\n", ":3: the row has 1 columns"),
        ("words\tlabel\na\tb\n", "no column of texts"),
        (b"sentence\tlabel\n\xff\xfe\t0\n", "not UTF-8 at byte 15"),
    ],
)
def test_a_bad_table_says_where(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        data.read_texts(written(tmp_path, content))


def test_every_example_knows_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, "sentence\tlabel\na\t0\nb\t1\n\n")
    assert [example.where for example in data.read_texts(path)] == [f"{path}:2", f"{path}:3"]


def test_cola_has_no_header(tmp_path: Path) -> None:
    path = written(tmp_path, "gj04\t1\t\tThe sailors rode the breeze.\nks08\t0\t*\tThey drank the pub.\n")
    assert data.read_texts(path) == [
        Example("The sailors rode the breeze.", label="1"),
        Example("They drank the pub.", label="0"),
    ]
    with pytest.raises(InputError, match=":2: this is not a row of CoLA"):
        data.read_texts(written(tmp_path, "gj04\t1\t\tA.\ngj04\t1\tB.\n"))


def test_a_csv_keeps_line_ends_in_quotes(tmp_path: Path) -> None:
    path = tmp_path / "dev.csv"
    path.write_text('label,text\n1,"good, ""very""\ngood"\n0,bad\n')
    examples = data.read_texts(path)
    assert examples == [Example('good, "very"\ngood', label="1"), Example("bad", label="0")]
    assert [example.where for example in examples] == [f"{path}:2", f"{path}:4"]
    path.write_text('label,text\n0,bad\n1,"never closed\n')
    with pytest.raises(InputError, match=":3: this is not CSV"):
        data.read_texts(path)
    path.write_text("label,text\n0,bad,worse\n")
    with pytest.raises(InputError, match=":2: the row has 3 columns, the header 2"):
        data.read_texts(path)


def test_texts_as_json_lines(tmp_path: Path) -> None:
    path = written(tmp_path, '{"sentence1": "a", "sentence2": "b", "score": 2.5}\n')
    assert data.read_texts(path) == [Example("a", "b", label=2.5)]
    with pytest.raises(InputError, match=":2: the row has no text"):
        data.read_texts(written(tmp_path, '{"text": "a"}\n{"label": 1}\n'))
    with pytest.raises(InputError, match=":1: text is 3"):
        data.read_texts(written(tmp_path, '{"text": 3}\n'))


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        data.read_texts(tmp_path / "absent")


def test_tagged_sentences(tmp_path: Path) -> None:
    path = written(tmp_path, "Ada B-PER\nwrote O\n\n\nParis NNP B-LOC\n")
    assert data.read_tagged(path) == [
        Example("Ada wrote", label=("B-PER", "O"), words=("Ada", "wrote")),
        Example("Paris", label=("B-LOC",), words=("Paris",)),
    ]
    with pytest.raises(InputError, match=":2: the word has no tag"):
        data.read_tagged(written(tmp_path, "Ada B-PER\nwrote\n"))


def test_json_lines(tmp_path: Path) -> None:
    path = written(tmp_path, '{"question": "q", "context": "c", "answers": [{"text": "c", "start": 0}]}\n')
    assert data.read_questions(path) == [Example("q", "c", label=("c",))]
    for row, says in (
        ('{"prompt": "p", "choices": ["one"]}', "two texts or more"),
        ('{"prompt": "p", "choices": ["a", "b"], "label": 2}', "a number from 0 to 1"),
        ('{"prompt": "p", "choices": "ab"}', "the row has no choices"),
        ("[]", "this is not an object"),
    ):
        with pytest.raises(InputError, match=f"(?s):1: .*{says}"):
            data.read_choices(written(tmp_path, row + "\n"))
    with pytest.raises(InputError, match=":1: the answers are"):
        data.read_questions(
            written(tmp_path, '{"question": "q", "context": "c", "answers": {"text": ["c"]}}\n')
        )
    with pytest.raises(InputError, match=":1: the row has no text as context"):
        data.read_questions(written(tmp_path, '{"question": "q"}\n'))
    with pytest.raises(InputError, match=":2: this is not JSON"):
        data.read_masked(written(tmp_path, '{"text": "a [MASK]"}\n{"text"\n'))


def test_codah_and_swag(tmp_path: Path) -> None:
    endings = ("tempted to snack.", "glad.", "fearful.", "concerned.")
    path = written(tmp_path, "o\tI am hungry. I am\t" + "\t".join(endings) + "\t0\n")
    assert data.read_choices(path) == [Example("I am hungry. I am", choices=endings, label=0)]
    path.write_text(path.read_text() + "o\tI am\ta\tb\tc\t1\n")
    with pytest.raises(InputError, match=":2: this is not a row of CODAH"):
        data.read_choices(path)
    header = ",video-id,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label\n"
    swag = tmp_path / "val.csv"
    swag.write_text(header + '0,v,"A, b. She","A, b.",She,gold,runs.,walks.,"sits, down.",eats.,2\n')
    assert data.read_choices(swag) == [
        Example("A, b.", choices=("She runs.", "She walks.", "She sits, down.", "She eats."), label=2)
    ]
    swag.write_text(header + "0,v,x,A,She,gold,a,b,c,d,4\n")
    with pytest.raises(InputError, match=":2: the label is '4'\nallowed: a number from 0 to 3"):
        data.read_choices(swag)


def test_choices_in_named_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "prompt\tchoice0\tchoice1\tlabel\np\ta\tb\t1\n")
    assert data.read_choices(path) == [Example("p", choices=("a", "b"), label=1)]
    with pytest.raises(InputError, match=":2: the row has no choices"):
        data.read_choices(written(tmp_path, "prompt\tlabel\np\t1\n"))


@pytest.mark.parametrize("indent", [None, 1])
def test_squad_s_json(tmp_path: Path, indent: int | None) -> None:
    answers = [{"answer_start": 0, "text": "Ada"}, {"answer_start": 0, "text": "Ada L."}]
    question = {"id": "q1", "question": "Who?", "answers": answers}
    document = {
        "version": "1.1",
        "data": [{"title": "t", "paragraphs": [{"context": "Ada L.", "qas": [question]}]}],
    }
    path = written(tmp_path, json.dumps(document, indent=indent))
    assert data.read_questions(path) == [Example("Who?", "Ada L.", label=("Ada", "Ada L."))]
    question["answers"] = []
    with pytest.raises(InputError, match=r"question q1: the answers are \[\]"):
        data.read_questions(written(tmp_path, json.dumps(document)))
    with pytest.raises(InputError, match="there is no 'paragraphs'"):
        data.read_questions(written(tmp_path, '{"data": [{"title": "t"}]}'))
    with pytest.raises(InputError, match=":1: this is not JSON"):
        data.read_questions(written(tmp_path, '{"data": ['))
    with pytest.raises(InputError, match="holds no questions"):
        data.read_questions(written(tmp_path, '{"data": []}'))


def test_questions_in_named_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "question\tcontext\tanswer\nWho?\tAda did.\tAda\n")
    assert data.read_questions(path) == [Example("Who?", "Ada did.", label=("Ada",))]


def test_conll_s_documents_and_comments(tmp_path: Path) -> None:
    path = written(tmp_path, "-DOCSTART- -X- O O\n\n# id 7\nAda NNP B-PER\n# NN O\n\n# B-MISC\n")
    examples = data.read_tagged(path)
    assert examples == [
        Example("Ada #", label=("B-PER", "O"), words=("Ada", "#")),
        Example("#", label=("B-MISC",), words=("#",)),
    ]
    assert [example.where for example in examples] == [f"{path}:4", f"{path}:7"]
    with pytest.raises(InputError, match="no tagged words"):
        data.read_tagged(written(tmp_path, "-DOCSTART- O\n\n"))


def test_tagged_words_in_named_columns(tmp_path: Path) -> None:
    expected = [Example("Ada wrote", label=("B-PER", "O"), words=("Ada", "wrote"))]
    lines = '{"tokens": ["Ada", "wrote"], "ner_tags": ["B-PER", "O"]}\n'
    assert data.read_tagged(written(tmp_path, lines)) == expected
    assert data.read_tagged(written(tmp_path, "words\ttags\nAda wrote\tB-PER O\n")) == expected
    with pytest.raises(InputError, match=":2: the row has 2 words and 1 tags"):
        data.read_tagged(written(tmp_path, "words\ttags\nAda wrote\tB-PER\n"))


def test_real_files_are_read_whole(shared: Path) -> None:
    files = shared / "data"
    assert len(data.read_texts(files / "sst2" / "train.tsv")) == 67_349
    assert len(data.read_texts(files / "qnli" / "dev.tsv")) == 5_463
    assert len(data.read_choices(files / "codah" / "full_data.tsv")) == 2_776
    questions = data.read_questions(files / "squad" / "dev-v1.1.json")
    assert len(questions) == 10_570
    assert all(answer in example.pair for example in questions for answer in example.label)
