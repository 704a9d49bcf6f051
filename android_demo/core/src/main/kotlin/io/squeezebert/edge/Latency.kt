package io.squeezebert.edge

/** Nanoseconds in a second: the unit of every time here. */
internal const val SECOND: Long = 1_000_000_000

/**
 * How long is measured, and what its numbers are then good for: MLPerf's single stream, see docs/record.md.
 *
 * @property name `mlperf`, `quick`, `rapid`, or `queries` for so many and no more.
 * @property queries at least so many.
 * @property seconds for at least so long.
 * @property mostSeconds by when the queries must be done, warm-up apart; null where the count alone decides.
 * @property coolDown seconds of rest between two runs.
 * @property quoted whether its numbers may be shown as the device's.
 */
public data class Protocol(
    val name: String,
    val queries: Int,
    val seconds: Double,
    val mostSeconds: Double?,
    val coolDown: Double,
    val quoted: Boolean,
) {
    /** The rule that a run breaks, or null: a device that did not get done has no latency. */
    internal fun brokenRule(samples: Samples): String? = when {
        samples.latencyNs.size < queries -> "too slow"
        samples.startNs.last() + samples.latencyNs.last() < seconds * SECOND -> "too short"
        else -> null
    }

    public companion object {
        public val MLPERF: Protocol = Protocol("mlperf", 1024, 60.0, 600.0, coolDown = 300.0, quoted = true)
        public val QUICK: Protocol = Protocol("quick", 128, 10.0, 60.0, coolDown = 0.0, quoted = true)
        public val RAPID: Protocol = Protocol("rapid", 64, 6.0, 60.0, coolDown = 0.0, quoted = false)

        /** So many queries, however long they take; never quoted. */
        public fun exactly(queries: Int): Protocol = Protocol("queries", queries, 0.0, null, 0.0, quoted = false)
    }
}

/**
 * Every query that was measured, in order, by column.
 *
 * @property row which text it was.
 * @property length the sequence length it ran at.
 * @property startNs when it began, from the beginning of the first.
 * @property latencyNs how long it took.
 */
public data class Samples(
    val row: List<Int>,
    val length: List<Int>,
    val startNs: List<Long>,
    val latencyNs: List<Long>,
)

/** Queries at one length before any is measured; steady if the last two blocks' medians agreed. */
public data class WarmUp(val length: Int, val queries: Int, val steady: Boolean)

/**
 * Runs a model by a protocol: first [warmUp], then [measure].
 *
 * @param lengths of each row, of which there is at least one.
 * @param clock nanoseconds that only grow.
 * @param betweenQueries is told how many queries are done, outside of what is timed; it may throw to cancel.
 * @param run computes the row of that index.
 */
public class Measurement(
    private val protocol: Protocol,
    private val lengths: List<Int>,
    private val clock: () -> Long = System::nanoTime,
    private val betweenQueries: (Int) -> Unit = {},
    private val run: (Int) -> Unit,
) {
    private val most = protocol.mostSeconds?.let { (it * SECOND).toLong() } ?: Long.MAX_VALUE

    /**
     * Runs the first row of each length until two consecutive tens have medians within 2%, at most a hundred times.
     *
     * Warm-up exceeds neither the protocol's count nor its time: what is slower will be found too slow.
     */
    public fun warmUp(): List<WarmUp> {
        val begin = clock()
        return lengths.distinct().sorted().map { warmUp(it, begin) }
    }

    private fun warmUp(length: Int, begin: Long): WarmUp {
        val row = lengths.indexOf(length)
        val block = ArrayList<Long>()
        var before: Long? = null
        var done = 0
        while (done < minOf(WARM_UP_MOST, protocol.queries)) {
            betweenQueries(done)
            val start = clock()
            run(row)
            block.add(clock() - start)
            done++
            if (clock() - begin >= most) break
            if (block.size < WARM_UP_BLOCK) continue
            val median = percentile(block.sorted(), 50)
            if (before != null && Math.abs(median - before) <= WARM_UP_TOLERANCE * before) {
                return WarmUp(length, done, steady = true)
            }
            before = median
            block.clear()
        }
        return WarmUp(length, done, steady = false)
    }

    /** Runs the rows in turn until the protocol has its count and its time, or is out of time. */
    public fun measure(): Samples {
        val starts = ArrayList<Long>()
        val latencies = ArrayList<Long>()
        val least = (protocol.seconds * SECOND).toLong()
        val begin = clock()
        var end = begin
        while ((starts.size < protocol.queries || end - begin < least) && end - begin < most) {
            val row = starts.size % lengths.size
            betweenQueries(starts.size)
            val start = clock()
            run(row)
            end = clock()
            starts.add(start - begin)
            latencies.add(end - start)
        }
        val rows = starts.indices.map { it % lengths.size }
        return Samples(rows, rows.map { lengths[it] }, starts, latencies)
    }

    private companion object {
        const val WARM_UP_BLOCK = 10 // queries
        const val WARM_UP_MOST = 100 // queries at one length
        const val WARM_UP_TOLERANCE = 0.02 // between the medians of two consecutive blocks
    }
}
