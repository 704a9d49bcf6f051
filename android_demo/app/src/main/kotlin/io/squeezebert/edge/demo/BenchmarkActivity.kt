package io.squeezebert.edge.demo

import android.os.Bundle
import android.view.View
import android.widget.ArrayAdapter
import android.widget.ProgressBar
import android.widget.Spinner
import android.widget.TextView
import io.squeezebert.edge.CPU
import io.squeezebert.edge.Progress
import io.squeezebert.edge.Protocol
import io.squeezebert.edge.Record
import io.squeezebert.edge.Settings
import io.squeezebert.edge.Stage
import io.squeezebert.edge.unitsOn

/** Measures a bundle on this phone: progress, then the samples, and what the phone was like before and after. */
class BenchmarkActivity : Screen() {
    private val choice by lazy { BundleChoice(findViewById<Spinner>(R.id.bundle)) }
    private val units by lazy { findViewById<Spinner>(R.id.unit) }
    private val message by lazy { findViewById<TextView>(R.id.message) }
    private val bar by lazy { findViewById<ProgressBar>(R.id.progress) }
    private val plot by lazy { findViewById<PlotView>(R.id.plot) }
    private val details by lazy { findViewById<TextView>(R.id.details) }

    /** One was running when the system ended the app. */
    private var interrupted = false

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.benchmark)
        choice.restore(savedInstanceState)
        choice.onChosen { showUnits() }
        interrupted = savedInstanceState?.getBoolean(RUNNING) ?: false
        findViewById<View>(R.id.start).setOnClickListener { start() }
        findViewById<View>(R.id.cancel).setOnClickListener { app.measurements.cancel() }
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        choice.save(outState)
        outState.putBoolean(RUNNING, app.measurements.state.value is MeasurementState.Running)
    }

    override fun onStop() {
        // Behind another app the system gives this one slower processors, which no record would show.
        if (!isChangingConfigurations) app.measurements.cancel()
        super.onStop()
    }

    override fun watch() {
        app.library.state.shown { library ->
            choice.show(library.bundles)
            showUnits()
            enable()
        }
        app.measurements.state.shown { show(it) }
    }

    private fun start() {
        val bundle = choice.chosen ?: return
        val threads = resources.getIntArray(R.array.thread_counts)[position(R.id.threads)]
        val protocol = PROTOCOLS[position(R.id.protocol)]
        interrupted = false
        app.release()
        val unit = units.selectedItem as? String ?: CPU
        val settings = Settings(threads = threads.takeIf { it > 0 && unit == CPU }, unit = unit)
        app.measurements.start(bundle, protocol, settings)
    }

    /** The units of this phone that the chosen bundle was proven for, the best first. */
    private fun showUnits() {
        val found = choice.chosen?.manifest?.unitsOn(app.chip).orEmpty()
        if (found == List(units.count) { units.getItemAtPosition(it) }) return
        val adapter = ArrayAdapter(this, android.R.layout.simple_spinner_item, found)
        adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
        units.adapter = adapter
    }

    private fun position(spinner: Int): Int = findViewById<Spinner>(spinner).selectedItemPosition

    private fun show(state: MeasurementState) {
        enable()
        val running = state as? MeasurementState.Running
        bar.visibility = if (running != null) View.VISIBLE else View.GONE
        // Never indeterminate: an animation would take time from what is measured.
        bar.progress = (bar.max * (running?.progress?.takeIf { it.stage == Stage.MEASURE }?.share ?: 0.0)).toInt()
        val record = (state as? MeasurementState.Done)?.record
        plot.visibility = if (record != null) View.VISIBLE else View.GONE
        plot.show(record?.run?.samples?.latencyNs.orEmpty())
        details.text = record?.let { details(it) }
        message.say(
            when (state) {
                is MeasurementState.Idle -> if (interrupted) getString(R.string.interrupted) else null
                is MeasurementState.Running -> stage(state.progress)
                is MeasurementState.Done -> summary(state.record)
                is MeasurementState.Cancelled -> getString(R.string.cancelled)
                is MeasurementState.Failed -> words.of(state.error)
            },
        )
    }

    private fun enable() {
        val running = app.measurements.state.value is MeasurementState.Running
        findViewById<View>(R.id.start).isEnabled = choice.chosen != null && !running
        findViewById<View>(R.id.cancel).isEnabled = running
        window.decorView.keepScreenOn = running
    }

    /** The stage alone: a count would have a screen reader speak without end. */
    private fun stage(progress: Progress?): String = getString(
        when (progress?.stage) {
            null, Stage.LOAD -> R.string.loading
            Stage.FIRST, Stage.WARM_UP -> R.string.warming_up
            Stage.MEASURE, Stage.ANSWER -> R.string.measuring
        },
    )

    private fun summary(record: Record): String {
        val rule = record.validity.rule ?: return words.of(record.latency.overall)
        return getString(R.string.invalid, rule)
    }

    private fun details(record: Record): String {
        val lengths = record.latency.byLength.map { (length, found) ->
            getString(R.string.at_length, length, words.of(found))
        }
        val run = record.run
        val device = listOfNotNull(run.device.name, run.device.soc, run.device.os).joinToString()
        val unit = record.settings.unit.orEmpty()
        val runtime = getString(R.string.runtime, run.runtime.name, run.runtime.version, unit, device)
        val cold = run.coldStart.loadNs?.let { getString(R.string.load, words.milliseconds(it)) }
        val tokenizing = getString(R.string.tokenizing, words.milliseconds(record.tokenization.statistics.p50Ns))
        val before = getString(R.string.before, words.of(run.before))
        val after = getString(R.string.after, words.of(run.after))
        val file = getString(R.string.written, (app.measurements.state.value as? MeasurementState.Done)?.file?.path)
        val quotable = if (record.quotable) null else getString(R.string.not_quotable)
        val lines = lengths + listOf(cold, tokenizing, runtime, before, after, quotable, file)
        return lines.filterNotNull().joinToString("\n")
    }

    private companion object {
        const val RUNNING = "running"

        /** In the order of R.array.protocols. */
        val PROTOCOLS = listOf(Protocol.RAPID, Protocol.QUICK, Protocol.MLPERF)
    }
}
