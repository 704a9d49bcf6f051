package io.squeezebert.edge.demo

import io.squeezebert.edge.Candidate
import io.squeezebert.edge.ChoiceAnswer
import io.squeezebert.edge.FeaturesAnswer
import io.squeezebert.edge.InputException
import io.squeezebert.edge.LabelAnswer
import io.squeezebert.edge.LabelsAnswer
import io.squeezebert.edge.Mask
import io.squeezebert.edge.MasksAnswer
import io.squeezebert.edge.NumberAnswer
import io.squeezebert.edge.SpanAnswer
import io.squeezebert.edge.Statistics
import io.squeezebert.edge.TaggedWord
import io.squeezebert.edge.WordsAnswer
import java.util.Locale
import org.junit.Assert.assertEquals
import org.junit.Test

class WordsTest {
    private val words = Words(Locale.ROOT)

    @Test
    fun `answers of every task`() {
        assertEquals("good 99.5%", words.of(LabelAnswer("good", 0.995f, mapOf("good" to 0.995f))))
        assertEquals("a 60.0%, b 70.0%", words.of(LabelsAnswer(listOf("a", "b"), mapOf("a" to 0.6f, "b" to 0.7f))))
        assertEquals("–", words.of(LabelsAnswer(emptyList(), mapOf("a" to 0.1f))))
        assertEquals("4.250", words.of(NumberAnswer(listOf(4.25f))))
        assertEquals("the end 80.0%", words.of(ChoiceAnswer(1, "the end", listOf(0.2f, 0.8f))))
        assertEquals("Kyiv: LOC 90.0%", words.of(WordsAnswer(listOf(TaggedWord("Kyiv", 0, 4, "LOC", 0.9f)))))
        assertEquals("in 2020 50.0%", words.of(SpanAnswer("in 2020", 3, 10, 0.5f)))
        assertEquals("–", words.of(SpanAnswer("", 0, 0, 0f)))
        val mask = Mask(0, 6, listOf(Candidate("x", 0.7f), Candidate("y", 0.2f)))
        assertEquals("x 70.0%, y 20.0%", words.of(MasksAnswer(listOf(mask))))
        assertEquals("pooler_output: 3", words.of(FeaturesAnswer(listOf("a"), mapOf("pooler_output" to FloatArray(3)))))
    }

    @Test
    fun `what computed an answer, and why a better unit did not`() {
        val answer = NumberAnswer(listOf(1f))
        assertEquals("2.00 ms, cpu", words.speed(Outcome.Answered(answer, 2_000_000, 1)))
        val refused = Outcome.Answered(answer, 2_000_000, 1, "gpu", mapOf("npu:SM8650" to InputException("no library")))
        assertEquals("2.00 ms, gpu\nnot npu:SM8650: no library", words.speed(refused))
    }

    @Test
    fun `numbers by a locale's rules`() {
        assertEquals("0.123 ms", words.milliseconds(123_456))
        assertEquals("1.23 ms", words.milliseconds(1_234_567))
        assertEquals("12.3 ms", words.milliseconds(12_345_678))
        assertEquals("1235 ms", words.milliseconds(1_234_567_890))
        assertEquals("12,3 ms", Words(Locale.GERMANY).milliseconds(12_345_678))
        assertEquals("52.4 MB", words.megabytes(52_400_000))
    }

    @Test
    fun `p99 is left out of few samples`() {
        val few = Statistics.of(List(10) { 1_000_000L })
        assertEquals("p50 1.00 ms, p90 1.00 ms, n = 10", words.of(few))
        val many = Statistics.of(List(300) { 1_000_000L })
        assertEquals("p50 1.00 ms, p90 1.00 ms, p99 1.00 ms, n = 300", words.of(many))
    }

    @Test
    fun `a phone that says nothing is shown as nothing`() {
        assertEquals("", words.of(TinyPhone.state()))
        val warm = TinyPhone.state().copy(
            thermalStatus = "light",
            battery = 0.5,
            charging = true,
            frequenciesMhz = listOf(1800.0, 2400.0),
            unknown = TinyPhone.state().unknown - setOf("thermal_status", "battery", "charging", "frequencies_mhz"),
        )
        assertEquals("thermal status light, battery 50.0%, charging, 1800/2400 MHz", words.of(warm))
    }

    @Test
    fun `an error that a user can mend says how, another what it is`() {
        assertEquals("wrong\nallowed: right", words.of(InputException("wrong", "right")))
        assertEquals("java.lang.IllegalStateException: broken", words.of(IllegalStateException("broken")))
    }
}
