package io.squeezebert.edge.demo

import io.squeezebert.edge.Answer
import io.squeezebert.edge.ChoiceAnswer
import io.squeezebert.edge.FeaturesAnswer
import io.squeezebert.edge.InputException
import io.squeezebert.edge.LabelAnswer
import io.squeezebert.edge.LabelsAnswer
import io.squeezebert.edge.MasksAnswer
import io.squeezebert.edge.NumberAnswer
import io.squeezebert.edge.SpanAnswer
import io.squeezebert.edge.State
import io.squeezebert.edge.Statistics
import io.squeezebert.edge.WordsAnswer
import java.util.Locale

/** Answers and numbers as a screen shows them, by a locale's rules. */
class Words(private val locale: Locale) {
    /** An answer in a few words; one line for each of several. */
    fun of(answer: Answer): String = when (answer) {
        is LabelAnswer -> "${answer.label} ${percent(answer.score)}"
        is LabelsAnswer -> answer.labels.joinToString { "$it ${percent(answer.scores.getValue(it))}" }.ifEmpty { NONE }
        is NumberAnswer -> answer.values.joinToString { String.format(locale, "%.3f", it) }
        is ChoiceAnswer -> "${answer.ending} ${percent(answer.scores[answer.choice])}"
        is WordsAnswer -> answer.words.joinToString("\n") { "${it.word}: ${it.label} ${percent(it.score)}" }
        is SpanAnswer -> if (answer.text.isEmpty()) NONE else "${answer.text} ${percent(answer.score)}"
        is MasksAnswer -> answer.masks.joinToString("\n") { mask ->
            mask.candidates.joinToString { "${it.token} ${percent(it.score)}" }
        }
        is FeaturesAnswer -> answer.outputs.entries.joinToString("\n") { (name, values) -> "$name: ${values.size}" }
    }

    /** A probability. */
    fun percent(score: Float): String = String.format(locale, "%.1f%%", 100 * score)

    /** A duration, with three digits that count. */
    fun milliseconds(nanoseconds: Long): String {
        val value = nanoseconds / 1e6
        val digits = if (value < 1) 3 else if (value < 10) 2 else if (value < 100) 1 else 0
        return String.format(locale, "%.${digits}f ms", value)
    }

    /** What computed an answer and how fast, and why better units did not. */
    fun speed(answered: Outcome.Answered): String {
        val refused = answered.refusals.map { (unit, error) -> "not $unit: ${of(error)}" }
        return (listOf("${milliseconds(answered.latencyNs)}, ${answered.unit}") + refused).joinToString("\n")
    }

    /** A file's size, in millions of bytes, as phones count. */
    fun megabytes(bytes: Long): String = String.format(locale, "%.1f MB", bytes / 1e6)

    /** The latencies of a measurement; p99 is left out where there are too few samples for it. */
    fun of(statistics: Statistics): String {
        val quantiles = mapOf("p50" to statistics.p50Ns, "p90" to statistics.p90Ns, "p99" to statistics.p99Ns)
        val shown = quantiles.mapNotNull { (name, value) -> value?.let { "$name ${milliseconds(it)}" } }
        return (shown + "n = ${statistics.count}").joinToString()
    }

    /** How a device was; what it does not say is left out. */
    fun of(state: State): String = listOfNotNull(
        state.thermalStatus?.let { "thermal status $it" },
        state.temperaturesC?.entries?.joinToString { String.format(locale, "%s %.1f °C", it.key, it.value) },
        state.battery?.let { "battery ${percent(it.toFloat())}" + if (state.charging == true) ", charging" else "" },
        if (state.lowPowerMode == true) "low power mode" else null,
        state.frequenciesMhz?.joinToString("/", postfix = " MHz") { String.format(locale, "%.0f", it) },
    ).joinToString()

    /** What went wrong, for whoever can mend it; of an error that was not foreseen, its kind too. */
    fun of(error: Throwable): String = if (error is InputException) error.message.orEmpty() else error.toString()

    private companion object {
        const val NONE = "–"
    }
}
