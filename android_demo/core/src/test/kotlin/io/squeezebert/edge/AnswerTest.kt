package io.squeezebert.edge

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** Outputs that no honest model gives; tests/demos/test_android_core.py compares the others with Python. */
class AnswerTest {
    private val tokenizer = TinyBundle.tokenizer
    private val nan = Float.NaN

    private fun row(text: String, pair: String? = null, vararg outputs: Pair<String, FloatArray>) =
        Row(tokenizer.encode(text, pair, maxLength = 32), mapOf(*outputs))

    @Test
    fun `the largest come in order, the first of equal ones first and NaN last`() {
        val values = floatArrayOf(1f, nan, 3f, 3f, Float.NEGATIVE_INFINITY, -0f, 0f)
        assertEquals(listOf(2, 3, 0, 5, 6, 4, 1), largest(values, 9))
        assertEquals(listOf(2, 3), largest(values, 2))
        assertEquals(1, argmax(values))
        assertEquals(0, argmax(floatArrayOf(0f, -0f)))
    }

    @Test
    fun `a span with a logit that is no number answers nothing`() {
        val task = QuestionAnswering()
        val encoding = tokenizer.encode("who", "the film is", maxLength = 32)
        val bad = FloatArray(encoding.size) { nan }
        val row = Row(encoding, mapOf("start_logits" to bad, "end_logits" to bad))
        assertEquals(SpanAnswer("", 0, 0, 0f), task.answer(Example("who", "the film is"), listOf(row), tokenizer))
    }

    @Test
    fun `outputs of another size are refused`() {
        val two = TextClassification(listOf("no", "yes"), null)
        val row = row("good", null, "logits" to floatArrayOf(1f, 2f, 3f))
        assertTrue("3 logits" in refusal { two.answer(Example("good"), listOf(row), tokenizer) })
        val none = row("good", null, "scores" to floatArrayOf(1f))
        assertTrue("no logits" in refusal { two.answer(Example("good"), listOf(none), tokenizer) })
    }

    @Test
    fun `a wrong number of texts is refused`() {
        assertTrue("3 texts" in refusal { TextClassification(listOf("a"), null).ask(listOf("a", "b", "c")) })
        assertTrue("at least two choices" in refusal { MultipleChoice().ask(listOf("a", "b")) })
        assertTrue("a question and a context" in refusal { QuestionAnswering().ask(listOf("a")) })
        assertTrue("no [MASK] in the text" in refusal { FillMask().encode(Example("good"), tokenizer, 9) })
    }
}
