package io.squeezebert.edge

import java.io.Closeable

/** A runtime in an app: what each kind of artifact needs of it, and with [Model] all that it needs. */
public interface Engine {
    /** Loads the runtime's own libraries; what it is. May be called again. */
    public fun start(): Runtime

    /**
     * Opens a bundle's artifact.
     *
     * @throws InputException a setting that cannot be honoured: its threads, unit or runtime.
     */
    public fun load(bundle: Bundle, settings: Settings): Model
}

/** An artifact that an [Engine] opened, to be closed after use. */
public interface Model : Runner, Closeable

/** What a device says of itself. A function throws an [UnknownException] where it cannot. */
public interface DeviceFacts {
    /** Whether the processor is a program: its times are no evidence. */
    public val emulated: Boolean

    /** What is measured on. */
    public fun device(): Device

    /** How it is now. */
    public fun state(): State

    /** Nanoseconds from the start of this process to the first of the app's own code in it. */
    public fun processNs(): Long

    /** Bytes of this process that are resident now. */
    public fun residentBytes(): Long

    /** Bytes of this process that were resident at most. */
    public fun mostResidentBytes(): Long
}

/** What a benchmark is at. */
public enum class Stage { LOAD, FIRST, WARM_UP, MEASURE, ANSWER }

/**
 * Where a benchmark is.
 *
 * @property done queries of this stage; in warm-up, of this length.
 * @property share of this stage that is done, from 0 to 1: at least so much.
 */
public data class Progress(val stage: Stage, val done: Int, val share: Double)

/**
 * Runs rows on a bundle: measures by a protocol, or answers. Not for a main thread.
 *
 * @param settings that the engine does not know are refused, so that none is ignored.
 * @param clock nanoseconds that only grow.
 * @param progress is told between queries, outside of what is timed; what it throws cancels.
 */
public class Benchmark(
    private val bundle: Bundle,
    private val engine: Engine,
    private val facts: DeviceFacts,
    private val settings: Settings,
    private val clock: () -> Long = System::nanoTime,
    private val progress: (Progress) -> Unit = {},
) {
    private val manifest = bundle.manifest

    init {
        settings.threads?.let { if (it < 1) throw InputException("$it threads", "1 or more") }
        if (settings.cpus != null) {
            throw InputException("cpus in an app", "null", "measure with the native runner, which chooses its CPUs")
        }
    }

    /**
     * What a record says of a run: cold start, memory, warm-up and samples.
     *
     * @param queries at least one.
     */
    public fun measure(queries: List<Query>, protocol: Protocol): Run {
        val before = facts.state()
        val starting = clock()
        val runtime = engine.start()
        val startNs = clock() - starting
        val unknown = Unknown()
        val baseline = unknown.unless("baseline_bytes") { facts.residentBytes() }
        progress(Progress(Stage.LOAD, 0, 0.0))
        val loading = clock()
        return engine.load(bundle, settings).use { model ->
            val loadNs = clock() - loading
            val first = first(model, queries)
            val peak = unknown.unless("peak_bytes") { facts.mostResidentBytes() }
            val (warmUp, samples) = samples(model, queries, protocol)
            val late = Unknown()
            val processNs = late.unless("process_ns") { facts.processNs() + startNs }
            Run(
                device = facts.device(),
                runtime = runtime,
                before = before,
                after = facts.state(),
                coldStart = ColdStart(processNs, loadNs, first, late.reasons),
                memory = Memory(baseline, peak, unknown.reasons),
                warmUp = warmUp,
                samples = samples,
                emulated = facts.emulated,
            )
        }
    }

    /** The outputs of each query in turn: [use] is given their shapes and values in the manifest's order. */
    public fun answer(queries: List<Query>, use: (List<List<Int>>, List<FloatArray>) -> Unit) {
        engine.start()
        progress(Progress(Stage.LOAD, 0, 0.0))
        engine.load(bundle, settings).use { model ->
            queries.forEachIndexed { done, query ->
                progress(Progress(Stage.ANSWER, done, done.toDouble() / queries.size))
                val (shapes, values) = ordered(run(model, query), query.length).unzip()
                use(shapes, values)
            }
        }
    }

    private fun first(model: Model, queries: List<Query>): Map<Int, Long> {
        val found = LinkedHashMap<Int, Long>()
        for (length in queries.map { it.length }.distinct().sorted()) {
            progress(Progress(Stage.FIRST, found.size, 0.0))
            val query = queries.first { it.length == length }
            val start = clock()
            val outputs = run(model, query)
            found[length] = clock() - start
            ordered(outputs, length) // or what is measured is no model's answer
        }
        return found
    }

    private fun samples(model: Model, queries: List<Query>, protocol: Protocol): Pair<List<WarmUp>, Samples> {
        val lengths = queries.map { it.length }
        fun measurement(between: (Int) -> Unit) =
            Measurement(protocol, lengths, clock, between) { run(model, queries[it]) }
        val warmUp = measurement { progress(Progress(Stage.WARM_UP, it, 0.0)) }.warmUp()
        val begin = clock()
        val samples = measurement { done ->
            val time = if (protocol.seconds > 0) (clock() - begin) / (protocol.seconds * SECOND) else 1.0
            progress(Progress(Stage.MEASURE, done, minOf(done.toDouble() / protocol.queries, time, 1.0)))
        }.measure()
        return warmUp to samples
    }

    private fun run(model: Model, query: Query): Map<String, FloatArray> =
        model.run(manifest.entryPoints.getValue(query.length), query.inputs)

    /** The shapes and values of outputs in the manifest's order, which must all be there and of its sizes. */
    private fun ordered(outputs: Map<String, FloatArray>, length: Int): List<Pair<List<Int>, FloatArray>> =
        manifest.outputs.map { (name, _, dimensions) ->
            val shape = dimensions.map { it ?: length }
            val values = outputs[name] ?: throw InputException("the runtime gave no $name", outputs.keys.joinToString())
            if (values.size != shape.fold(1, Int::times)) {
                throw InputException("the runtime gave ${values.size} values of $name", "$shape")
            }
            shape to values
        }
}
