package io.squeezebert.edge

import kotlin.math.exp

/** A class, several classes or a number for a text or a pair. */
public class TextClassification(
    private val labels: List<String>,
    problemType: String?,
) : Task() {
    private val problemType = problemType ?: if (labels.size == 1) "regression" else null

    override fun answer(example: Example, rows: List<Row>, tokenizer: Tokenizer): Answer = when (problemType) {
        "regression" -> NumberAnswer(rows[0].output("logits").asList())
        "multi_label_classification" -> several(rows[0].logits(labels.size))
        else -> one(rows[0].logits(labels.size))
    }

    private fun several(logits: FloatArray): LabelsAnswer {
        val scores = labels.zip(logits.map { 1 / (1 + exp(-it)) }).toMap()
        return LabelsAnswer(labels.filter { scores.getValue(it) > 0.5f }, scores)
    }

    private fun one(logits: FloatArray): LabelAnswer {
        val scores = labels.zip(softmax(logits).asList()).toMap()
        val label = labels[argmax(logits)]
        return LabelAnswer(label, scores.getValue(label), scores)
    }
}

/** The best of several endings. A row, and so an artifact, scores one ending. */
public class MultipleChoice : Task() {
    /** A prompt and its endings. */
    override fun ask(texts: List<String>): Example {
        if (texts.size < 3) throw InputException("multiple choice needs a prompt and at least two choices")
        return Example(texts[0], choices = texts.drop(1))
    }

    /** A row for each choice, after the prompt. */
    override fun encode(example: Example, tokenizer: Tokenizer, maxLength: Int, docStride: Int): List<Encoding> =
        example.choices.map { tokenizer.encode(example.text, it, maxLength) }

    override fun answer(example: Example, rows: List<Row>, tokenizer: Tokenizer): ChoiceAnswer {
        val scores = softmax(rows.map { it.logits(1)[0] }.toFloatArray())
        val choice = argmax(scores)
        return ChoiceAnswer(choice, example.choices[choice], scores.asList())
    }
}

/** A class for each word of a text, taken from its first piece. */
public class TokenClassification(private val labels: List<String>) : Task() {
    override val perToken: Set<String> = setOf("logits")

    override fun answer(example: Example, rows: List<Row>, tokenizer: Tokenizer): WordsAnswer {
        val encoding = rows[0].encoding
        rows[0].logits(encoding.size * labels.size)
        val tokens = (0 until encoding.size).filter { encoding.sequences[it] == 0 }
        val words = tokens.groupBy { encoding.words[it] }.values.map { pieces ->
            val start = encoding.starts[pieces.first()]
            val end = encoding.ends[pieces.last()]
            val scores = softmax(rows[0].output("logits", pieces.first()))
            val best = argmax(scores)
            TaggedWord(example.text.between(start, end), start, end, labels[best], scores[best])
        }
        return WordsAnswer(words)
    }
}
