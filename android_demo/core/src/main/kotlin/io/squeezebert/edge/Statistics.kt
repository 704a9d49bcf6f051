package io.squeezebert.edge

import java.math.BigDecimal
import java.util.Locale
import kotlin.math.abs
import kotlin.math.max
import kotlin.math.sqrt

/**
 * Of latencies, in nanoseconds; docs/record.md defines each.
 *
 * @property p99Ns null under 299 samples.
 * @property standardDeviationNs null of a single sample.
 * @property perSecond queries a second, one after the other.
 */
public data class Statistics(
    val count: Int,
    val p50Ns: Long,
    val p90Ns: Long,
    val p99Ns: Long?,
    val leastNs: Long,
    val mostNs: Long,
    val meanNs: Double,
    val standardDeviationNs: Double?,
    val perSecond: Double,
) {
    /** Whether two have the same counts and times; means and what follows from them to nine digits. */
    internal fun isSameAs(other: Statistics): Boolean =
        copy(meanNs = 0.0, standardDeviationNs = null, perSecond = 0.0) ==
            other.copy(meanNs = 0.0, standardDeviationNs = null, perSecond = 0.0) &&
            isClose(meanNs, other.meanNs) &&
            isClose(standardDeviationNs, other.standardDeviationNs) &&
            isClose(perSecond, other.perSecond)

    public companion object {
        // The largest of 299 samples is above the true 99th percentile with 95% probability: 0.99**299 < 0.05.
        private const val FEWEST_FOR_P99 = 299

        /** Of at least one latency. */
        public fun of(latenciesNs: List<Long>): Statistics {
            val ascending = latenciesNs.sorted()
            val count = ascending.size
            val total = ascending.sum()
            val mean = total.toDouble() / count
            // Added up exactly, as Python's math.fsum does it.
            val squares = ascending.sumOf { BigDecimal((it - mean) * (it - mean)) }.toDouble()
            return Statistics(
                count = count,
                p50Ns = percentile(ascending, 50),
                p90Ns = percentile(ascending, 90),
                p99Ns = if (count >= FEWEST_FOR_P99) percentile(ascending, 99) else null,
                leastNs = ascending.first(),
                mostNs = ascending.last(),
                meanNs = mean,
                standardDeviationNs = if (count > 1) sqrt(squares / (count - 1)) else null,
                perSecond = SECOND.toDouble() * count / total,
            )
        }

        private fun isClose(mine: Double?, other: Double?): Boolean =
            if (mine == null || other == null) mine == other
            else abs(mine - other) <= 1e-9 * max(abs(mine), abs(other))
    }
}

/** The samples in numbers: all of them, and those of each length. */
public data class Latency(val overall: Statistics, val byLength: Map<Int, Statistics>) {
    internal fun isSameAs(other: Latency): Boolean =
        overall.isSameAs(other.overall) && byLength.keys == other.byLength.keys &&
            byLength.all { (length, found) -> found.isSameAs(other.byLength.getValue(length)) }

    public companion object {
        /** The numbers of at least one sample. */
        public fun of(samples: Samples): Latency {
            val found = samples.length.zip(samples.latencyNs).groupBy({ it.first }, { it.second })
            return Latency(Statistics.of(samples.latencyNs), found.toSortedMap().mapValues { Statistics.of(it.value) })
        }
    }
}

/** The value at index floor(n * percent / 100), from 0: that of loadgen's results.cc, in whole numbers. */
internal fun percentile(ascending: List<Long>, percent: Int): Long =
    ascending[(ascending.size.toLong() * percent / 100).toInt()]

/** The rule that repeated runs break, or null: their medians must agree to 5%. */
internal fun brokenRepeat(mediansNs: List<Long>): String? {
    val least = mediansNs.min()
    val difference = mediansNs.max() - least
    if (difference <= 0.05 * least) return null
    val percent = String.format(Locale.ROOT, "%.1f", 100.0 * difference / least)
    return "repeat: medians differ by $percent%, more than 5%"
}
