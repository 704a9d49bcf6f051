package io.squeezebert.edge

/** The span of the context that answers the question (SQuAD 1.1): the best valid one over all windows. */
public class QuestionAnswering : Task() {
    override val outputs: List<String> = listOf("start_logits", "end_logits")
    override val perToken: Set<String> = outputs.toSet()

    /** A question and its context. */
    override fun ask(texts: List<String>): Example {
        if (texts.size != 2) throw InputException("question answering needs a question and a context")
        return Example(texts[0], texts[1])
    }

    /** Overlapping windows over the context, the question before each. */
    override fun encode(example: Example, tokenizer: Tokenizer, maxLength: Int, docStride: Int): List<Encoding> =
        tokenizer.windows(example.text, context(example), maxLength, docStride)

    override fun answer(example: Example, rows: List<Row>, tokenizer: Tokenizer): SpanAnswer {
        val spans = rows.flatMap { spans(it) }
        if (spans.isEmpty()) return SpanAnswer("", 0, 0, 0f)
        val logits = FloatArray(spans.size) { spans[it].logit }
        val best = argmax(logits)
        val (_, start, end) = spans[best]
        return SpanAnswer(context(example).between(start, end), start, end, softmax(logits)[best])
    }

    private fun context(example: Example): String =
        example.pair ?: throw InputException("a question without its context")

    /** The valid spans among a window's best starts and ends. */
    private fun spans(row: Row): List<Span> {
        val encoding = row.encoding
        val (starts, ends) = outputs.map { row.output(it) }
        val lasts = largest(ends, N_BEST_POSITIONS).filter { encoding.sequences[it] == 1 }
        return largest(starts, N_BEST_POSITIONS).filter { encoding.sequences[it] == 1 }.flatMap { first ->
            lasts.filter { it in first until first + LONGEST_ANSWER && (starts[first] + ends[it]).isFinite() }
                .map { Span(starts[first] + ends[it], encoding.starts[first], encoding.ends[it]) }
        }
    }

    private data class Span(val logit: Float, val start: Int, val end: Int)

    private companion object {
        const val N_BEST_POSITIONS = 20
        const val LONGEST_ANSWER = 30 // tokens; SQuAD's usual bound
    }
}
