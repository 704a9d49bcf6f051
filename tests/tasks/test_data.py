"""Labelled files in their usual forms."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from exporters.errors import InputError
from squeezebert_edge.tasks import data
from squeezebert_edge.tasks.data import Example
from squeezebert_edge.tasks.heads import TASKS, TokenClassification


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_glue_sentences_keep_their_quotes(tmp_path: Path) -> None:
    path = written(tmp_path, 'sentence\tlabel\nso-called "art\t0\r\n" fun\t1\n')
    assert data.read_texts(path) == [Example('so-called "art', label="0"), Example('" fun', label="1")]


def test_a_tsv_may_be_quoted_as_pandas_does(tmp_path: Path) -> None:
    rows = 'sentence\tlabel\n"a ""fine"" film"\t1\n"""art"""\t0\nplain\t0\n'
    assert [example.text for example in data.read_texts(written(tmp_path, rows))] == [
        'a "fine" film', '"art"', "plain",
    ]  # fmt: skip
    raw = rows + 'so-called "art\t0\n'
    assert data.read_texts(written(tmp_path, raw))[0].text == '"a ""fine"" film"'
    assert data.read_texts(written(tmp_path, 'sentence\tlabel\n"good"\t1\n'))[0].text == '"good"'


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        ("index\tquestion\tsentence\tlabel", ("q", "s")),
        ("label\tsentence1\tsentence2", ("s1", "s2")),
        ("premise\thypothesis\tlabel", ("p", "h")),
        ("text\tlabel", ("t",)),
        ("id\ttext\tclass", ("t",)),
        ("text\ttext_pair\tlabel", ("t", "t2")),
        ("text_a\ttext_b\tlabel", ("t", "t2")),
        ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", ("q1", "q2")),
        ("Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", ("s1", "s2")),
        ("index\tgenre\tsource1\tsentence1\tsentence2\tscore", ("s1", "s2")),
        ("index\tsentence1_parse\tsentence1\tsentence2\tlabel1\tgold_label", ("s1", "s2")),
    ],
)
def test_columns_are_found_by_their_usual_names(tmp_path: Path, header: str, texts: tuple[str, ...]) -> None:
    short = {"question": "q", "sentence": "s", "sentence1": "s1", "sentence2": "s2"}
    short |= {"premise": "p", "hypothesis": "h", "text": "t", "question1": "q1", "question2": "q2"}
    short |= {"#1 String": "s1", "#2 String": "s2", "text_a": "t", "text_b": "t2", "text_pair": "t2"}
    short |= dict.fromkeys(("label", "gold_label", "score", "is_duplicate", "Quality", "class"), "l")
    row = "\t".join(short.get(name, "-") for name in header.split("\t"))
    assert data.read_texts(written(tmp_path, f"{header}\n{row}\n")) == [Example(*texts, label="l")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("sentence\tlabel\n", "no examples"),
        ("sentence\tlabel\na\tb\nonly one\n", ":3: the row has 1 columns"),
        ("words\tlabel\na\tb\n", "file has no column of texts: its columns are words, label"),
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
    for answers in ('{"text": "c"}', "[3]", "3", '[{"start": 0}]'):
        with pytest.raises(InputError, match=":1: the answers are"):
            line = f'{{"question": "q", "context": "c", "answers": {answers}}}\n'
            data.read_questions(written(tmp_path, line))
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
    question["answers"] = None
    with pytest.raises(InputError, match=r"question q1: the answers are None"):
        data.read_questions(written(tmp_path, json.dumps(document)))
    with pytest.raises(InputError, match="there is no 'paragraphs'"):
        data.read_questions(written(tmp_path, '{"data": [{"title": "t"}]}'))
    with pytest.raises(InputError, match="this is not JSON"):
        data.read_questions(written(tmp_path, '{"data": ['))
    with pytest.raises(InputError, match="holds no questions"):
        data.read_questions(written(tmp_path, '{"data": []}'))


def test_questions_in_named_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "question\tcontext\tanswer\nWho?\tAda did.\tAda\n")
    assert data.read_questions(path) == [Example("Who?", "Ada did.", label=("Ada",))]


def test_a_row_may_say_that_a_question_is_impossible(tmp_path: Path) -> None:
    content = "question,context,answer,is_impossible\nq,c,plausible,True\nq,c,right,False\nq,c,,1\n"
    labels = [example.label for example in data.read_questions(written(tmp_path, content))]
    assert labels == [(), ("right",), ()]
    line = '{"question": "q", "context": "c", "answers": {"text": ["plausible"]}, "is_impossible": true}\n'
    assert data.read_questions(written(tmp_path, line))[0].label == ()


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


def test_lists_of_words_in_a_table_are_json(tmp_path: Path) -> None:
    lines = '{"tokens": "Ada wrote", "tags": ["B-PER", "O"]}\n'
    assert data.read_tagged(written(tmp_path, lines))[0].words == ("Ada", "wrote")
    row = '"[""New York"", ""wrote""]","[3, 0]"'
    (example,) = data.read_tagged(written(tmp_path, f"tokens,ner_tags\n{row}\n"))
    assert (example.words, example.label) == (("New York", "wrote"), ("3", "0"))
    with pytest.raises(InputError, match=":2: tokens is not JSON"):  # what pandas writes
        data.read_tagged(written(tmp_path, "tokens,ner_tags\n\"['Ada', 'wrote']\",\"[3, 0]\"\n"))
    with pytest.raises(
        InputError, match=":1: the row has no words or tokens: its columns are sentence, tags"
    ):
        data.read_tagged(written(tmp_path, '{"sentence": "a", "tags": ["O"]}\n'))


def test_blank_lines_and_upper_case_are_no_obstacle(tmp_path: Path) -> None:
    for content in (
        "\nSentence\t Label \n\ngood\t1\n\nbad\t0\n\n",
        "Sentence, label\n\ngood,1\nbad,0\n",
        '\n{"Sentence": "good", "sentiment": "1"}\n\n{"Sentence": "bad", "sentiment": "0"}\n',
        '[{"text": "good", "target": "1"},\n {"text": "bad", "target": "0"}]',
        '{"data": [{"text": "good", "labels": "1"}, {"text": "bad", "labels": "0"}]}',
        "text\tlabel\rgood\t1\rbad\t0\r",
    ):
        path = written(tmp_path, content)
        assert data.read_texts(path) == [Example("good", label="1"), Example("bad", label="0")]
    path = written(tmp_path, "sentence\tlabel\n\ngood\t1\n")
    assert data.read_texts(path)[0].where == f"{path}:3"
    with pytest.raises(InputError, match=":2: the header has label twice"):
        data.read_texts(written(tmp_path, "\ntext\tlabel\tlabel\ngood\t1\t1\n"))
    with pytest.raises(InputError, match=": row 2: this is not an object"):
        data.read_texts(written(tmp_path, '[{"text": "good"}, 3]'))


def test_a_lone_carriage_return_ends_no_row(tmp_path: Path) -> None:
    path = written(tmp_path, "sentence\tlabel\r\ngood\rfilm\t1\r\nbad\t0\r\n")
    assert data.read_texts(path) == [Example("good\rfilm", label="1"), Example("bad", label="0")]


def test_quora_s_quoted_table(tmp_path: Path) -> None:
    header = '"id"\t"qid1"\t"qid2"\t"question1"\t"question2"\t"is_duplicate"\n'
    path = written(tmp_path, header + '"0"\t"1"\t"2"\t"What\nis ""it""?"\t"Why?"\t"0"\n')
    assert data.read_texts(path) == [Example('What\nis "it"?', "Why?", label="0")]


def test_the_marks_of_cola_s_authors(tmp_path: Path) -> None:
    marks = ("", "*", "* ", "?*", "??", "*?", "#", "%")
    rows = [f"gj04\t{int(not mark)}\t{mark}\tSentence {n}.\n" for n, mark in enumerate(marks)]
    for content in ("".join(rows), "".join(rows[::-1])):
        examples = data.read_texts(written(tmp_path, content))
        assert {(example.text, example.label) for example in examples} == {
            (f"Sentence {n}.", str(int(not mark))) for n, mark in enumerate(marks)
        }


def test_the_sts_benchmark_has_no_header(tmp_path: Path) -> None:
    row = 'main-captions\tMSRvid\t2012test\t0001\t5.000\tA man "sings".\tA man is singing.'
    longer = "main-news\theadlines\t2015\t0002\t0.400\tOne.\tTwo.\thttp://a\thttp://b"
    for name in ("sts-dev.tsv", "sts-dev.csv"):
        path = tmp_path / name
        path.write_text(f"{row}\n{longer}\n")
        assert data.read_texts(path) == [
            Example('A man "sings".', "A man is singing.", label="5.000"),
            Example("One.", "Two.", label="0.400"),
        ]
    with pytest.raises(InputError, match=":2: this is not a row of the STS benchmark"):
        data.read_texts(written(tmp_path, f"{row}\nmain-news\n"))


def test_snli_and_multinli_in_their_own_forms(tmp_path: Path) -> None:
    lines = '{"gold_label": "-", "annotator_labels": ["neutral"], "sentence1": "a", "sentence2": "b"}\n'
    assert data.read_texts(written(tmp_path, lines)) == [Example("a", "b", label="-")]
    header = "gold_label\tsentence1_binary_parse\tsentence1_parse\tsentence1\tsentence2\tlabel1\n"
    assert data.read_texts(written(tmp_path, f"{header}neutral\t( a )\t(A)\ta\tb\tneutral\n")) == [
        Example("a", "b", label="neutral")
    ]


def test_labels_that_may_all_hold_have_columns_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "jigsaw.csv"
    path.write_text('id,comment_text,toxic,insult,threat\nx1,"bad, bad",1,1,0\nx2,good,0,0,0\n')
    assert data.read_texts(path) == [
        Example("bad, bad", label={"toxic": "1", "insult": "1", "threat": "0"}),
        Example("good", label={"toxic": "0", "insult": "0", "threat": "0"}),
    ]  # fmt: skip
    path.write_text("text,toxic,insult\nbad,True,False\ngood,False,False\n")
    assert [example.label for example in data.read_texts(path)] == [
        {"toxic": "True", "insult": "False"}, {"toxic": "False", "insult": "False"},
    ]  # fmt: skip


def test_columns_are_chosen_once_for_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, '{"text": "a", "label": 0}\n{"text": "b", "text_pair": "c", "label": 1}\n')
    with pytest.raises(InputError, match=":1: the row has no text_pair"):
        data.read_texts(path)
    path = written(tmp_path, '{"text": "a", "labels": 0}\n{"text": "b", "label": 1}\n')
    assert [example.label for example in data.read_texts(path)] == [None, 1]


def test_columns_that_may_be_meant_are_told(tmp_path: Path) -> None:
    rows = "id,when,text,text2,title,label,sentiment\n1,2026-01-02 10:00,a b,c d,e f,0,bad\n"
    examples = data.read_texts(written(tmp_path, rows))
    assert examples == [Example("a b", label="0")]
    told = data.tell_unread(examples)
    assert told is not None
    assert told.startswith("the file's text2 and title and sentiment are not read")
    pairs = "premise,hypothesis,parse,label\na b,c d,e f,0\n"
    assert data.tell_unread(data.read_texts(written(tmp_path, pairs))) is None


def test_a_number_to_predict_is_called_score(tmp_path: Path) -> None:
    path = written(tmp_path, "text,label,score\na,1,4.5\n")
    for kind, label in (("regression", "4.5"), ("single_label_classification", "1")):
        task = TASKS["text-classification"](["a"] if kind == "regression" else ["a", "b"], kind)
        assert [example.label for example in task.read_file(path)] == [label]


def test_choices_are_counted_from_0(tmp_path: Path) -> None:
    rows = "prompt,Choice1,Choice2,label\nx,a,b,{}\ny,c,d,1\n"
    assert [example.label for example in data.read_choices(written(tmp_path, rows.format(0)))] == [0, 1]
    with pytest.raises(InputError, match="counts its choices from 1, and no label is 0"):
        data.read_choices(written(tmp_path, rows.format(1)))
    gap = "prompt,choice0,choice2,label\nx,a,b,0\n"
    with pytest.raises(InputError, match="columns of choices are choice0, choice2\nallowed: .* without gaps"):
        data.read_choices(written(tmp_path, gap))


def test_hellaswag_and_codah_of_the_hub(tmp_path: Path) -> None:
    expected = [Example("p", choices=("a", "b"), label=1)]
    for line in (
        '{"ctx": "p", "endings": ["a", "b"], "label": "1"}',
        '{"question_propmt": "p", "candidate_answers": ["a", "b"], "correct_answer_idx": 1}',
    ):
        assert data.read_choices(written(tmp_path, line + "\n")) == expected
    unlabelled = '{"prompt": "p", "choices": ["a", "b"], "label": -1}\n'
    assert data.read_choices(written(tmp_path, unlabelled))[0].label == -1


def test_squad_in_every_layout(tmp_path: Path) -> None:
    answers = [{"answer_start": 0, "text": "Ada"}]
    qas = [
        {"id": "q1", "question": "Who?", "answers": answers, "is_impossible": False},
        {"id": "q2", "question": "Why?", "answers": [], "is_impossible": True},
    ]
    document = {
        "version": "v2.0",
        "data": [{"title": "t", "paragraphs": [{"context": "Ada L.", "qas": qas}]}],
    }
    expected = [Example("Who?", "Ada L.", label=("Ada",)), Example("Why?", "Ada L.", label=())]
    begun = json.dumps(document).replace('"data"', '\n"data"')
    assert begun.splitlines()[0] == '{"version": "v2.0", '
    for content in (begun, json.dumps(document), json.dumps(document, indent=2), "\n" + json.dumps(document)):
        assert data.read_questions(written(tmp_path, content)) == expected
    hub = [
        {"question": "Who?", "context": "Ada L.", "answers": {"text": ["Ada"], "answer_start": [0]}},
        {"question": "Why?", "context": "Ada L.", "answers": {"text": [], "answer_start": []}},
    ]
    for content in ("\n".join(map(json.dumps, hub)), json.dumps(hub, indent=1), json.dumps({"data": hub})):
        assert data.read_questions(written(tmp_path, content)) == expected
    table = "question,context,answers\nWho?,Ada L.,\"{'text': ['Ada']}\"\n".replace("'", '""')
    assert data.read_questions(written(tmp_path, table)) == expected[:1]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Ada", ("Ada",)),
        ('"[""Ada"", ""Ada L.""]"', ("Ada", "Ada L.")),
        ('"[{""text"": ""Ada"", ""start"": 0}]"', ("Ada",)),
        ("[]", ()),
        ("", None),
    ],
)
def test_a_table_s_cell_of_answers_is_one_text_or_json(
    tmp_path: Path, cell: str, expected: tuple[str, ...] | None
) -> None:
    (example,) = data.read_questions(written(tmp_path, f"question,context,answers\nWho?,Ada L.,{cell}\n"))
    assert example.label == expected


@pytest.mark.parametrize("cell", ["{'text': ['Ada'], 'answer_start': array([0])}", "['Ada']", "[3]"])
def test_what_pandas_writes_of_a_list_is_no_accepted_text(tmp_path: Path, cell: str) -> None:
    with pytest.raises(InputError, match=":2: the .*answers.*Ada|:2: the answers are") as caught:
        data.read_questions(written(tmp_path, f'question,context,answers\nWho?,Ada L.,"{cell}"\n'))
    assert '{"text": ["..."]}' in str(caught.value.allowed)


@pytest.mark.parametrize(
    "content",
    [
        "sentence_id,words,labels\n0,john,B-PER\n0,ran,O\n",
        "Sentence #,Word,POS,Tag\nSentence: 1,john,NNP,B-PER\n,ran,VBD,O\n",
        "token\tner_tag\njohn\tB-PER\nran\tO\n\nParis\tB-LOC\n",
    ],
)
def test_a_table_of_single_words_is_no_table_of_sentences(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match="one word a row, which says nowhere that a sentence ends"):
        data.read_tagged(written(tmp_path, content))


INDEXED = "1\tjohn\tB-PER\tO\n2\tran\tO\tO\n\n1\tParis\tB-LOC\tO\n"


def test_a_column_that_counts_words_is_none_of_words(tmp_path: Path) -> None:
    path = written(tmp_path, INDEXED)
    unclear = data.read_tagged(path)
    assert [(each.words, each.label) for each in unclear] == [(("john", "ran"), None), (("Paris",), None)]
    says = "(?s)counts words or .*0=1, 1=john, 2=B-PER, 3=O\n.*: --columns word=1,tag=2"
    with pytest.raises(InputError, match=says):
        TokenClassification(["O", "B-PER"]).target(unclear[0], None)  # type: ignore[arg-type]
    expected = [
        Example("john ran", label=("B-PER", "O"), words=("john", "ran")),
        Example("Paris", label=("B-LOC",), words=("Paris",)),
    ]
    assert data.read_tagged(path, {"word": 1, "tag": 2}) == expected
    assert data.read_tagged(path, {"word": 1, "tag": 3})[0].label == ("O", "O")
    three = written(tmp_path, re.sub(r"\tO$", "", INDEXED, flags=re.MULTILINE))
    assert data.read_tagged(three) == expected
    with pytest.raises(InputError, match=":1: the word has no tag"):
        data.read_tagged(three, {"word": 1, "tag": 3})
    with pytest.raises(InputError, match="named columns"):
        data.read_tagged(written(tmp_path, "words\ttags\na\tO\n"), {"word": 0, "tag": 1})


def test_a_column_of_one_value_is_none_of_words(tmp_path: Path) -> None:
    path = written(tmp_path, "bc 0 John B-PER\nbc 1 ran O\n\nbc 0 Paris B-LOC\n")
    assert data.read_tagged(path)[0].label is None
    assert data.read_tagged(path, {"word": 2, "tag": 3})[0] == Example(
        "John ran", label=("B-PER", "O"), words=("John", "ran")
    )


@pytest.mark.parametrize("first", ["0123", "1234", "aabb", "7788"])
def test_a_column_that_counts_through_a_file_or_names_sentences_is_none_of_words(
    tmp_path: Path, first: str
) -> None:
    path = written(tmp_path, "{} John B-PER\n{} ran O\n\n{} Ada B-PER\n{} sat O\n".format(*first))
    assert [example.words for example in data.read_tagged(path)] == [("John", "ran"), ("Ada", "sat")]


def test_a_comment_may_end_as_a_tag_does(tmp_path: Path) -> None:
    path = written(tmp_path, "# text = Ada ran .\nAda NNP\nran VBD\n. .\n\n# SYM\n1 CD\n")
    assert [example.words for example in data.read_tagged(path)] == [("Ada", "ran", "."), ("#", "1")]


def test_a_bracket_may_be_the_first_word(tmp_path: Path) -> None:
    for word in ("[", "{", "[1]"):
        assert data.read_tagged(written(tmp_path, f"{word} O\nAda B-PER\n"))[0].words == (word, "Ada")


def test_conll_u(tmp_path: Path) -> None:
    rest = "\t_" * 6
    path = written(
        tmp_path,
        "# sent_id = 1\n# text = Du vin\n1-2\tDu\t_\t_" + rest + "\n1\tDe\tde\tADP" + rest
        + "\n2\tle\tle\tDET" + rest + "\n2.1\tbon\tbon\tADJ" + rest + "\n3\tvin\tvin\tNOUN" + rest + "\n\n",
    )  # fmt: skip
    assert data.read_tagged(path)[0].words == ("De", "le", "vin")
    assert data.read_tagged(path, {"word": 1, "tag": 3}) == [
        Example("De le vin", label=("ADP", "DET", "NOUN"), words=("De", "le", "vin"))
    ]


def test_both_readers_of_tagged_words_agree(tmp_path: Path) -> None:
    words = ["#MeToo", "New York", "20\u00a0000", "#", "\u3000"]
    tags = ["PROPN", "PROPN", "NUM", "SYM", "PUNCT"]
    expected = [Example(" ".join(words), label=tuple(tags), words=tuple(words))]
    columns = "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True))
    assert data.read_tagged(written(tmp_path, columns)) == expected
    assert data.read_tagged(written(tmp_path, "# a comment\n" + columns)) == expected
    assert data.read_tagged(written(tmp_path, json.dumps({"words": words, "tags": tags}))) == expected
    spaced = "#MeToo PROPN\nran\u00a0off VERB\n"
    assert data.read_tagged(written(tmp_path, spaced))[0].words == ("#MeToo", "ran\u00a0off")


def test_real_files_are_read_whole(shared: Path) -> None:
    files = shared / "data"
    assert len(data.read_texts(files / "sst2" / "train.tsv")) == 67_349
    assert len(data.read_texts(files / "qnli" / "dev.tsv")) == 5_463
    assert len(data.read_choices(files / "codah" / "full_data.tsv")) == 2_776
    questions = data.read_questions(files / "squad" / "dev-v1.1.json")
    assert len(questions) == 10_570
    assert all(answer in example.pair for example in questions for answer in example.label)


@pytest.mark.parametrize("content", ["  \n \t\n", '""\n', '"",""\n'])
@pytest.mark.parametrize("name", TASKS)
def test_a_file_of_nothing_is_refused(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / "dev.csv"
    path.write_text(content)
    with pytest.raises(InputError):
        TASKS[name](["a", "b"], None).read(path)


def test_the_broken_lines_of_glue_s_quora_pairs(tmp_path: Path) -> None:
    path = tmp_path / "dev.tsv"
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    path.write_text(
        f'{header}1\t2\t3\tHow are\nyou?\tHow do you\n\ndo?\t1\n4\t5\t6\tWhy "not?\tWhy?\t0\n',
        encoding="utf-8",
    )
    found = data.read_texts(path)
    assert [(one.text, one.pair, one.label) for one in found] == [
        ("How are you?", "How do you do?", "1"),
        ('Why "not?', "Why?", "0"),
    ]
    assert [one.where for one in found] == [f"{path}:2", f"{path}:6"]
    path.write_text(f"{header}1\t2\t3\tHow are you?\n4\t5\t6\tWhy?\tWhy?\t0\n", encoding="utf-8")
    with pytest.raises(InputError, match=":2: the row has 4 columns, the header 6"):
        data.read_texts(path)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ('value="TRUE"', "entailment"),
        ('value="FALSE"', "not_entailment"),
        ('entailment="YES"', "entailment"),
        ('entailment="NO"', "not_entailment"),
        ('entailment="UNKNOWN"', "not_entailment"),
    ],
)
def test_the_xml_of_the_rte_challenges(tmp_path: Path, label: str, expected: str) -> None:
    path = tmp_path / "RTE2_dev.xml"
    pair = f'<pair id="1" {label} task="IE"><t>AT&amp;T rose\n in May.</t><h>It rose.</h></pair>'
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE entailment-corpus SYSTEM "rte.dtd">\n'
    path.write_text(f"{head}<entailment-corpus>\n{pair}\n</entailment-corpus>\n", encoding="utf-8")
    (found,) = data.read_texts(path)
    assert (found.text, found.pair, found.label) == ("AT&T rose in May.", "It rose.", expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<?xml version='1.0'?><entailment-corpus><pair>", ":1: this is not XML"),
        ('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a/>', "defines entities"),
        (
            "<entailment-corpus><pair id='7'><t>a</t></pair></entailment-corpus>",
            "'7' is no example of RTE",
        ),
        ("<entailment-corpus></entailment-corpus>", "has no examples"),
    ],
)
def test_an_xml_that_is_no_rte_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "dev.xml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        data.read_texts(path)
