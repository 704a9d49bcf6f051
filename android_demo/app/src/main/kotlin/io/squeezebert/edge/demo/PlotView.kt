package io.squeezebert.edge.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View
import io.squeezebert.edge.Statistics
import java.util.Locale

/** Latencies in the order in which they were measured, with their median. */
class PlotView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private var latenciesNs: List<Long> = emptyList()
    private var medianNs = 0L
    private val density = resources.displayMetrics.density
    private val points = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(R.color.accent) }
    private val lines = Paint().apply {
        color = context.getColor(R.color.faint)
        strokeWidth = density
    }
    private val medianLine = Paint(lines).apply { color = context.getColor(R.color.accent) }
    private val labels = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        color = context.getColor(R.color.text)
        textSize = resources.getDimension(R.dimen.label) // grows with the user's font size
    }

    /** Shows latencies, nanoseconds each, and says them to a screen reader; an empty list shows nothing. */
    fun show(found: List<Long>) {
        latenciesNs = found
        if (found.isNotEmpty()) {
            val statistics = Statistics.of(found)
            val words = words()
            medianNs = statistics.p50Ns
            contentDescription = context.getString(
                R.string.plot_description,
                found.size,
                words.milliseconds(statistics.leastNs),
                words.milliseconds(statistics.mostNs),
                words.milliseconds(medianNs),
            )
        }
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        if (latenciesNs.isEmpty()) return
        val words = words()
        val gap = 4 * density
        val left = labels.measureText(words.milliseconds(2 * latenciesNs.max())) + gap
        val scale = PlotScale(latenciesNs, left, labels.textSize, width - gap, height - labels.textSize)
        for (tick in scale.ticks) {
            canvas.drawLine(left, scale.y(tick), width.toFloat(), scale.y(tick), lines)
            canvas.drawText(words.milliseconds(tick), 0f, scale.y(tick) + labels.textSize / 3, labels)
        }
        canvas.drawLine(left, scale.y(medianNs), width.toFloat(), scale.y(medianNs), medianLine)
        latenciesNs.forEachIndexed { place, latency ->
            canvas.drawCircle(scale.x(place), scale.y(latency), 2 * density, points)
        }
    }

    private fun words() = Words(resources.configuration.locales[0] ?: Locale.ROOT)
}
