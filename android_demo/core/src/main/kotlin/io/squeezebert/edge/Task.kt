package io.squeezebert.edge

/**
 * One thing to ask a model.
 *
 * @property text the sentence, premise, question, prompt or text with a mask token.
 * @property pair the second text (hypothesis, context), if there is one.
 * @property choices the endings of [text], for multiple choice.
 */
public data class Example(val text: String, val pair: String? = null, val choices: List<String> = emptyList())

/**
 * One pass through the network: its tokens, and its outputs without the padding.
 *
 * @property outputs by name; where an output has values per token, those of each token one after the other.
 */
public class Row(public val encoding: Encoding, public val outputs: Map<String, FloatArray>) {
    /** An output, or an InputException that names it. */
    internal fun output(name: String): FloatArray =
        outputs[name] ?: throw InputException("the runtime gave no $name", outputs.keys.joinToString())

    /** A token's values of an output that has some for each token. */
    internal fun output(name: String, token: Int): FloatArray {
        val width = output(name).size / encoding.size
        return output(name).copyOfRange(token * width, (token + 1) * width)
    }
}

/** One head: what is asked, its outputs, and how an answer is read from them. */
public abstract class Task internal constructor() {
    /** The names of the outputs. */
    public open val outputs: List<String> = listOf("logits")

    /** Those of [outputs] that have values for each token. */
    public open val perToken: Set<String> = emptySet()

    /**
     * What a user wrote, as an example.
     *
     * @throws InputException too few or too many texts for this task.
     */
    public open fun ask(texts: List<String>): Example {
        if (texts.isEmpty() || texts.size > 2) throw InputException("${texts.size} texts", "a text or a pair")
        return Example(texts[0], texts.getOrNull(1))
    }

    /**
     * The rows that answer an example, each of at most [maxLength] tokens.
     *
     * @param docStride tokens that windows over a long context share; for question answering only.
     * @throws InputException a text cannot be encoded.
     */
    public open fun encode(
        example: Example,
        tokenizer: Tokenizer,
        maxLength: Int,
        docStride: Int = DEFAULT_DOC_STRIDE,
    ): List<Encoding> = listOf(tokenizer.encode(example.text, example.pair, maxLength))

    /**
     * A row from what a runtime gave: the padding is cut off where an output has values per token.
     *
     * @param outputs the runtime's, by name, flat.
     * @param length of the row with its padding.
     */
    public fun row(encoding: Encoding, outputs: Map<String, FloatArray>, length: Int): Row {
        val real = outputs.mapValues { (name, values) ->
            if (name in perToken) values.copyOf(values.size / length * encoding.size) else values
        }
        return Row(encoding, real)
    }

    /**
     * The answer as a user reads it.
     *
     * @throws InputException the rows lack an output, or it does not have the size of this task's.
     */
    public abstract fun answer(example: Example, rows: List<Row>, tokenizer: Tokenizer): Answer

    public companion object {
        /** Tokens that windows over a long context share where nothing else is said. */
        public const val DEFAULT_DOC_STRIDE: Int = 16

        /**
         * The task of a bundle.
         *
         * @throws InputException it is none that this version knows.
         */
        public fun of(manifest: Manifest): Task = when (manifest.task) {
            "text-classification" -> TextClassification(manifest.labels, manifest.problemType)
            "multiple-choice" -> MultipleChoice()
            "token-classification" -> TokenClassification(manifest.labels)
            "question-answering" -> QuestionAnswering()
            "fill-mask" -> FillMask()
            "feature-extraction" -> FeatureExtraction()
            else -> throw InputException("unknown task \"${manifest.task}\"")
        }
    }
}

/** The logits of a row, refused if there is not one for each of [count] classes. */
internal fun Row.logits(count: Int): FloatArray {
    val logits = output("logits")
    if (logits.size != count) throw InputException("${logits.size} logits", "one for each of $count labels")
    return logits
}
