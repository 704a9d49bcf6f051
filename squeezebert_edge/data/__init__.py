"""Files of examples: what a user labels, tests or asks. One reader per shape of file."""

from squeezebert_edge.data.choices import read_choices
from squeezebert_edge.data.example import Example
from squeezebert_edge.data.masked import read_masked
from squeezebert_edge.data.questions import read_questions
from squeezebert_edge.data.records import read_lines
from squeezebert_edge.data.tagged import read_tagged
from squeezebert_edge.data.texts import read_texts

__all__ = [
    "Example",
    "read_choices",
    "read_lines",
    "read_masked",
    "read_questions",
    "read_tagged",
    "read_texts",
]
