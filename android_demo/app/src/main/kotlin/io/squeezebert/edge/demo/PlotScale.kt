package io.squeezebert.edge.demo

import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.log10
import kotlin.math.pow

/**
 * Where values stand in a plot of their order: the first at the left edge, the last at the right one, zero below.
 *
 * @param values at least one, none below zero.
 * @param left edges of the plot in pixels, and so [top], [right] and [bottom].
 */
class PlotScale(
    values: List<Long>,
    private val left: Float,
    private val top: Float,
    private val right: Float,
    private val bottom: Float,
) {
    private val count = values.size
    private val step = stepFor(values.max())

    /** Values to label, from zero up to the first that no sample exceeds. */
    val ticks: List<Long> = (0..ceil(values.max() / step).toInt().coerceAtLeast(1)).map { (it * step).toLong() }

    /** Where a sample stands, by its place in the order. */
    fun x(place: Int): Float = if (count == 1) (left + right) / 2 else left + (right - left) * place / (count - 1)

    /** Where a value stands. */
    fun y(value: Long): Float = bottom - (bottom - top) * value / ticks.last()

    private companion object {
        const val MOST_TICKS = 5

        /** 1, 2 or 5 times a power of ten, so that about five of them reach [most]. */
        fun stepFor(most: Long): Double {
            val rough = most.coerceAtLeast(1) / MOST_TICKS.toDouble()
            val power = 10.0.pow(floor(log10(rough)))
            return listOf(1, 2, 5, 10).map { it * power }.first { it >= rough }.coerceAtLeast(1.0)
        }
    }
}
