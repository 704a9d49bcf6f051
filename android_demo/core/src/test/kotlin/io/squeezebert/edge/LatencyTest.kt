package io.squeezebert.edge

import java.io.File
import java.util.concurrent.CancellationException
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** The protocol and its statistics, held to tests/vectors/statistics.json, by a clock of our own. */
class LatencyTest {
    private val vectors = JsonRecord.read(File(System.getProperty("vectors"), "statistics.json").readText())
    private var now = 1_000_000L

    private fun zeros(count: Int) = List(count) { 0 }

    @Test
    fun `statistics are those of the vectors`() {
        for (numbers in vectors.records("statistics")) {
            val latencies = numbers.longs("latency_ns")
            val samples = Samples(zeros(latencies.size), numbers.integers("length"), latencies, latencies)
            val found = Latency.of(samples)
            val name = numbers.text("name")
            assertTrue(name, found.overall.isSameAs(numbers.record("overall").toStatistics()))
            val byLength = numbers.record("by_length")
            assertEquals(name, byLength.keys.toList(), found.byLength.keys.map { "$it" })
            for ((length, statistics) in found.byLength) {
                assertTrue(name, statistics.isSameAs(byLength.record("$length").toStatistics()))
            }
        }
    }

    @Test
    fun `warm-ups end where the vectors say`() {
        for (warming in vectors.records("warm_up")) {
            val latencies = warming.longs("latency_ns").iterator()
            val protocol = Protocol.exactly(warming.integer("queries_allowed"))
            val found = Measurement(protocol, listOf(32), { now }) { now += latencies.next() }.warmUp()
            val expected = WarmUp(32, warming.integer("queries"), warming.boolean("steady"))
            assertEquals(warming.text("name"), listOf(expected), found)
        }
    }

    @Test
    fun `every length is warmed up with its first row, and a slow device's warm-up ends with its time`() {
        val ran = ArrayList<Int>()
        val lengths = listOf(64, 32, 32, 128)
        val found = Measurement(Protocol.MLPERF, lengths, { now }) { ran.add(it); now += 100L * (it + 1) }.warmUp()
        assertEquals(listOf(WarmUp(32, 20, true), WarmUp(64, 20, true), WarmUp(128, 20, true)), found)
        assertEquals(List(20) { 1 } + List(20) { 0 } + List(20) { 3 }, ran)
        val slow = Measurement(Protocol.QUICK, listOf(32, 64), { now }) { now += 25 * SECOND }.warmUp()
        assertEquals(listOf(WarmUp(32, 3, false), WarmUp(64, 1, false)), slow)
    }

    @Test
    fun `runs are as long as the vectors say`() {
        val known = listOf(Protocol.MLPERF, Protocol.QUICK, Protocol.RAPID).associateBy { it.name }
        for (whole in vectors.records("runs")) {
            val protocol = whole.record("protocol").whole { toProtocol() }
            val samples = Measurement(protocol, listOf(32), { now }) { now += whole.long("each_ns") }.measure()
            assertEquals(whole.text("name"), whole.integer("queries"), samples.latencyNs.size)
            assertEquals(whole.text("name"), whole.optionalText("rule"), protocol.brokenRule(samples))
            assertEquals(known[protocol.name] ?: protocol, protocol)
        }
    }

    @Test
    fun `every sample is kept with its row, length and start`() {
        val between = ArrayList<Int>()
        val lengths = listOf(32, 64, 32)
        val measurement = Measurement(Protocol.exactly(5), lengths, { now }, { between.add(it) }) { now += 10 + it }
        val expected = Samples(
            row = listOf(0, 1, 2, 0, 1),
            length = listOf(32, 64, 32, 32, 64),
            startNs = listOf(0, 10, 21, 33, 43),
            latencyNs = listOf(10, 11, 12, 10, 11),
        )
        assertEquals(expected, measurement.measure())
        assertEquals(listOf(0, 1, 2, 3, 4), between)
    }

    @Test
    fun `repeats agree or say by how much they do not`() {
        for (repeats in vectors.records("repeats")) {
            val rule = brokenRepeat(repeats.longs("medians_ns"))
            assertEquals(repeats.boolean("valid"), rule == null)
            assertTrue(rule == null || "medians differ by 6.0%" in rule)
        }
    }

    @Test
    fun `what is done between queries is in no latency, and may cancel`() {
        val slow = Measurement(Protocol.exactly(4), listOf(32), { now }, { now += SECOND }) { now += 7 }
        assertEquals(List(4) { 7L }, slow.measure().latencyNs)
        val cancel = { done: Int -> if (done == 3) throw CancellationException() }
        val cancelled = Measurement(Protocol.QUICK, listOf(32), betweenQueries = cancel) {}
        assertThrows(CancellationException::class.java) { cancelled.measure() }
        assertThrows(CancellationException::class.java) { cancelled.warmUp() }
    }
}
