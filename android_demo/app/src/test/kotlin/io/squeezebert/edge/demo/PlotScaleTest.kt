package io.squeezebert.edge.demo

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class PlotScaleTest {
    @Test
    fun `samples stand between the edges`() {
        val scale = PlotScale(listOf(10L, 20L, 40L), left = 100f, top = 10f, right = 300f, bottom = 210f)
        assertEquals(listOf(100f, 200f, 300f), (0..2).map { scale.x(it) })
        assertEquals(listOf(0L, 10L, 20L, 30L, 40L), scale.ticks)
        assertEquals(listOf(210f, 10f), listOf(0L, 40L).map { scale.y(it) })
    }

    @Test
    fun `a single sample stands in the middle`() {
        val scale = PlotScale(listOf(7L), 0f, 0f, 100f, 100f)
        assertEquals(50f, scale.x(0))
    }

    @Test
    fun `ticks are round, few, and reach every sample`() {
        for (most in listOf(0L, 1L, 3L, 9L, 17_345_678L, 99_999_999L, 100_000_001L, 3_600_000_000L)) {
            val ticks = PlotScale(listOf(0L, most), 0f, 0f, 1f, 1f).ticks
            assertTrue("$most: $ticks", ticks.size in 2..6 && ticks.last() >= most)
            val step = "${ticks[1] - ticks[0]}"
            assertTrue("$most: $ticks", step.trimEnd('0') in setOf("1", "2", "5"))
        }
    }
}
