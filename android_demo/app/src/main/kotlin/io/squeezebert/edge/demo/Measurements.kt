package io.squeezebert.edge.demo

import io.squeezebert.edge.Benchmark
import io.squeezebert.edge.Bundle
import io.squeezebert.edge.DeviceFacts
import io.squeezebert.edge.DirectoryFiles
import io.squeezebert.edge.Engine
import io.squeezebert.edge.Predictor
import io.squeezebert.edge.Progress
import io.squeezebert.edge.Protocol
import io.squeezebert.edge.Query
import io.squeezebert.edge.Record
import io.squeezebert.edge.Settings
import io.squeezebert.edge.Statistics
import io.squeezebert.edge.Texts
import io.squeezebert.edge.Tokenization
import java.io.File
import java.util.concurrent.CancellationException
import java.util.concurrent.Executor

/** Where a measurement is. */
sealed interface MeasurementState {
    data object Idle : MeasurementState

    /** @property progress null before anything is loaded. */
    data class Running(val bundle: Shelved, val progress: Progress?) : MeasurementState

    data class Done(val record: Record, val file: File) : MeasurementState

    data object Cancelled : MeasurementState

    data class Failed(val error: Throwable) : MeasurementState
}

/**
 * Measures a bundle on texts of its task and keeps the record. Outlives the screens.
 *
 * @param records where records are written.
 * @param work where models are computed; one thread.
 */
class Measurements(
    private val engines: Map<String, Engine>,
    private val facts: DeviceFacts,
    private val records: File,
    private val generator: String,
    private val work: Executor,
    post: (() -> Unit) -> Unit,
) {
    val state = Watched<MeasurementState>(MeasurementState.Idle, post)

    @Volatile
    private var cancelled = false

    /** Begins; what ran before must have ended. */
    fun start(bundle: Shelved, protocol: Protocol, settings: Settings) {
        if (state.value is MeasurementState.Running) return
        cancelled = false
        state.update { MeasurementState.Running(bundle, null) }
        work.execute {
            val found = try {
                measured(bundle, protocol, settings)
            } catch (_: CancellationException) {
                MeasurementState.Cancelled
            } catch (error: Exception) {
                MeasurementState.Failed(error)
            } catch (error: LinkageError) { // a runtime whose library is not for this phone
                MeasurementState.Failed(error)
            } catch (error: OutOfMemoryError) {
                MeasurementState.Failed(error)
            }
            state.update { found }
        }
    }

    /** Ends a measurement before its next query. */
    fun cancel() {
        cancelled = true
    }

    private fun measured(shelved: Shelved, protocol: Protocol, settings: Settings): MeasurementState {
        val bundle = Bundle.open(DirectoryFiles(shelved.directory))
        val texts = sampleTexts(bundle.manifest)
        val predictor = Predictor(bundle)
        val latencies = ArrayList<Long>()
        val queries = ArrayList<Query>()
        for (text in texts) {
            val start = System.nanoTime()
            queries += predictor.encode(text).map { predictor.prepare(it) }
            latencies += System.nanoTime() - start
        }
        val show = sparsely { progress -> state.update { MeasurementState.Running(shelved, progress) } }
        val benchmark = Benchmark(bundle, engineFor(bundle, engines), facts, settings) { progress ->
            if (cancelled) throw CancellationException()
            show(progress)
        }
        val record = Record.of(
            run = benchmark.measure(queries, protocol),
            generator = generator,
            bundle = bundle,
            settings = settings,
            protocol = protocol,
            texts = Texts("the demo's own sentences", texts.size, queries.size),
            tokenization = Tokenization("device", Statistics.of(latencies)),
        )
        return MeasurementState.Done(record, record.write(records))
    }
}

/** Shows a stage's beginning, and then twice a second where it is: the phone is left to what is measured. */
internal fun sparsely(clock: () -> Long = System::nanoTime, show: (Progress) -> Unit): (Progress) -> Unit {
    var last: Progress? = null
    var shown = 0L
    return { progress ->
        val time = clock()
        if (progress.stage != last?.stage || time - shown >= 500_000_000) {
            last = progress
            shown = time
            show(progress)
        }
    }
}
