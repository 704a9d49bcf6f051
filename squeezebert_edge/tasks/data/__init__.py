"""Files of examples: what a user labels, tests or asks. One reader per shape of file."""

from squeezebert_edge.tasks.data.choices import read_choices
from squeezebert_edge.tasks.data.example import Example
from squeezebert_edge.tasks.data.masked import read_masked
from squeezebert_edge.tasks.data.questions import read_questions
from squeezebert_edge.tasks.data.tables import read_lines
from squeezebert_edge.tasks.data.tagged import read_tagged
from squeezebert_edge.tasks.data.texts import read_texts, tell_unread

__all__ = [
    "Example",
    "read_choices",
    "read_lines",
    "read_masked",
    "read_questions",
    "read_tagged",
    "read_texts",
    "tell_unread",
]
