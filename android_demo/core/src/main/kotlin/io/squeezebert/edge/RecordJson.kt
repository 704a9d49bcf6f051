package io.squeezebert.edge

// Records as JSON, each object with its keys in the order in which Python writes them.

private const val RECORD_VERSION = 1

internal fun Protocol.toJson(): Map<String, Any?> = mapOf(
    "name" to name,
    "queries" to queries,
    "seconds" to seconds,
    "most_seconds" to mostSeconds,
    "cool_down" to coolDown,
    "quoted" to quoted,
)

internal fun JsonRecord.toProtocol(): Protocol = Protocol(
    text("name"),
    integer("queries"),
    number("seconds"),
    nullable("most_seconds") { number(it) },
    number("cool_down"),
    boolean("quoted"),
)

internal fun Samples.toJson(): Map<String, Any?> =
    mapOf("row" to row, "length" to length, "start_ns" to startNs, "latency_ns" to latencyNs)

internal fun JsonRecord.toSamples(): Samples =
    Samples(integers("row"), integers("length"), longs("start_ns"), longs("latency_ns"))

internal fun WarmUp.toJson(): Map<String, Any?> = mapOf("length" to length, "queries" to queries, "steady" to steady)

internal fun JsonRecord.toWarmUp(): WarmUp = WarmUp(integer("length"), integer("queries"), boolean("steady"))

internal fun Statistics.toJson(): Map<String, Any?> = mapOf(
    "count" to count,
    "p50_ns" to p50Ns,
    "p90_ns" to p90Ns,
    "p99_ns" to p99Ns,
    "least_ns" to leastNs,
    "most_ns" to mostNs,
    "mean_ns" to meanNs,
    "standard_deviation_ns" to standardDeviationNs,
    "per_second" to perSecond,
)

internal fun JsonRecord.toStatistics(): Statistics = Statistics(
    integer("count"),
    long("p50_ns"),
    long("p90_ns"),
    nullable("p99_ns") { long(it) },
    long("least_ns"),
    long("most_ns"),
    number("mean_ns"),
    nullable("standard_deviation_ns") { number(it) },
    number("per_second"),
)

internal fun Latency.toJson(): Map<String, Any?> = mapOf(
    "overall" to overall.toJson(),
    "by_length" to byLength.entries.associate { (length, statistics) -> "$length" to statistics.toJson() },
)

internal fun JsonRecord.toLatency(): Latency = Latency(
    record("overall").whole { toStatistics() },
    record("by_length").byLength { record(it).whole { toStatistics() } },
)

internal fun Device.toJson(): Map<String, Any?> = mapOf(
    "unknown" to unknown,
    "kind" to kind,
    "name" to name,
    "os" to os,
    "architecture" to architecture,
    "cpus" to cpus,
    "soc" to soc,
    "clusters" to clusters,
    "memory_bytes" to memoryBytes,
)

internal fun JsonRecord.toDevice(): Device = Device(
    oneOf("kind", "host", "ssh", "android", "ios"),
    text("name"),
    text("os"),
    text("architecture"),
    nullable("cpus") { integer(it) },
    nullable("soc") { text(it) },
    nullable("clusters") { integerLists(it) },
    nullable("memory_bytes") { long(it) },
    textsByKey("unknown"),
)

internal fun State.toJson(): Map<String, Any?> = mapOf(
    "unknown" to unknown,
    "time" to time,
    "temperatures_c" to temperaturesC,
    "thermal_status" to thermalStatus,
    "battery" to battery,
    "charging" to charging,
    "low_power_mode" to lowPowerMode,
    "governors" to governors,
    "frequencies_mhz" to frequenciesMhz,
    "load" to load,
    "allowed_cpus" to allowedCpus,
)

internal fun JsonRecord.toState(): State = State(
    text("time"),
    nullable("temperatures_c") { name -> record(name).let { zones -> zones.keys.associateWith { zones.number(it) } } },
    nullable("thermal_status") { text(it) },
    nullable("battery") { number(it) },
    nullable("charging") { boolean(it) },
    nullable("low_power_mode") { boolean(it) },
    nullable("governors") { texts(it) },
    nullable("frequencies_mhz") { numbers(it) },
    nullable("load") { number(it) },
    nullable("allowed_cpus") { integers(it) },
    textsByKey("unknown"),
)

internal fun Runtime.toJson(): Map<String, Any?> =
    mapOf("name" to name, "version" to version, "runner" to runner, "libc" to libc)

internal fun JsonRecord.toRuntime(): Runtime = Runtime(
    oneOf("name", "executorch", "litert", "tflite-runtime", "coreml"),
    text("version"),
    oneOf("runner", "python", "native", "app"),
    text("libc"),
)

internal fun Measured.toJson(): Map<String, Any?> = mapOf(
    "name" to name,
    "sha256" to sha256,
    "checkpoint" to checkpoint,
    "checkpoint_sha256" to checkpointSha256,
    "task" to task,
    "format" to format,
    "precision" to precision,
    "exact_precision" to exactPrecision,
    "form" to form,
    "lengths" to lengths,
    "artifact_bytes" to artifactBytes,
)

internal fun JsonRecord.toMeasured(): Measured = Measured(
    text("name"),
    text("sha256"),
    text("checkpoint"),
    text("checkpoint_sha256"),
    text("task"),
    oneOf("format", "executorch", "coreml", "tflite"),
    text("precision"),
    text("exact_precision"),
    text("form"),
    integers("lengths"),
    long("artifact_bytes"),
)

internal fun Settings.toJson(): Map<String, Any?> = mapOf(
    "threads" to threads,
    "unit" to unit,
    "cpus" to cpus,
    "length" to length,
    "runtime" to runtime,
)

internal fun JsonRecord.toSettings(): Settings = Settings(
    nullable("threads") { integer(it) },
    if ("delegate" in keys) earlierUnit() else nullable("unit") { unit(it) },
    nullable("cpus") { integers(it) },
    nullable("length") { integer(it) },
    nullable("runtime") { text(it) },
)

/** A compute unit by its name in records and manifests. */
internal fun JsonRecord.unit(name: String): String = matching(name, UNIT, "cpu, cpu-fp16, gpu, ane, or npu: and the chip")

/** The unit as records had it in two fields. */
private fun JsonRecord.earlierUnit(): String? {
    val delegate = oneOf("delegate", "cpu", "gpu")
    val units = nullable("compute_units") { oneOf(it, *EARLIER_UNITS.keys.toTypedArray()) }
    return if (units == null) delegate else EARLIER_UNITS.getValue(units)
}

private val UNIT = Regex("cpu|cpu-fp16|gpu|ane|npu:[A-Za-z0-9_]+")
private val EARLIER_UNITS = mapOf("cpu_only" to "cpu", "cpu_and_gpu" to "gpu", "cpu_and_ne" to "ane", "all" to null)

internal fun ColdStart.toJson(): Map<String, Any?> = mapOf(
    "unknown" to unknown,
    "process_ns" to processNs,
    "load_ns" to loadNs,
    "first_ns" to firstNs?.mapKeys { "${it.key}" },
)

internal fun JsonRecord.toColdStart(): ColdStart = ColdStart(
    nullable("process_ns") { long(it) },
    nullable("load_ns") { long(it) },
    nullable("first_ns") { name -> record(name).byLength { long(it) } },
    textsByKey("unknown"),
)

internal fun Memory.toJson(): Map<String, Any?> =
    mapOf("unknown" to unknown, "baseline_bytes" to baselineBytes, "peak_bytes" to peakBytes)

internal fun JsonRecord.toMemory(): Memory = Memory(
    nullable("baseline_bytes") { long(it) },
    nullable("peak_bytes") { long(it) },
    textsByKey("unknown"),
)

internal fun Run.toJson(): Map<String, Any?> = mapOf(
    "device" to device.toJson(),
    "runtime" to runtime.toJson(),
    "before" to before.toJson(),
    "after" to after.toJson(),
    "cold_start" to coldStart.toJson(),
    "memory" to memory.toJson(),
    "warm_up" to warmUp.map { it.toJson() },
    "samples" to samples.toJson(),
    "emulated" to emulated,
)

private fun JsonRecord.toRun(): Run = Run(
    record("device").whole { toDevice() },
    record("runtime").whole { toRuntime() },
    record("before").whole { toState() },
    record("after").whole { toState() },
    record("cold_start").whole { toColdStart() },
    record("memory").whole { toMemory() },
    records("warm_up").map { warmed -> warmed.whole { toWarmUp() } },
    record("samples").whole { toSamples() },
    boolean("emulated"),
)

internal fun Record.toJson(): Map<String, Any?> = run.toJson() + mapOf(
    "record_version" to RECORD_VERSION,
    "id" to id,
    "time" to time,
    "generator" to generator,
    "bundle" to bundle.toJson(),
    "settings" to settings.toJson(),
    "protocol" to protocol.toJson(),
    "repeat" to mapOf("index" to repeat.index, "of" to repeat.of, "medians_ns" to repeat.mediansNs),
    "texts" to mapOf("source" to texts.source, "texts" to texts.texts, "rows" to texts.rows),
    "tokenization" to mapOf("where" to tokenization.where, "statistics" to tokenization.statistics.toJson()),
    "latency" to latency.toJson(),
    "foreign" to foreign.map { mapOf("tool" to it.tool, "mean_ns" to it.meanNs, "note" to it.note) },
    "validity" to mapOf("valid" to validity.valid, "rule" to validity.rule),
    "quotable" to quotable,
)

/** What was written, computed again and compared. */
internal fun JsonRecord.toRecord(): Record {
    val version = integer("record_version")
    if (version != RECORD_VERSION) throw InputException("record_version $version", "$RECORD_VERSION")
    val said = record("latency").whole { toLatency() }
    val quotable = boolean("quotable")
    val record = Record(
        toRun(),
        text("id"),
        text("time"),
        text("generator"),
        record("bundle").whole { toMeasured() },
        record("settings").whole { toSettings() },
        record("protocol").whole { toProtocol() },
        record("repeat").whole { Repeat(integer("index"), integer("of"), longs("medians_ns")) },
        record("texts").whole { Texts(text("source"), integer("texts"), integer("rows")) },
        record("tokenization").whole {
            Tokenization(oneOf("where", "host", "device"), record("statistics").whole { toStatistics() })
        },
        records("foreign").map { other -> other.whole { Foreign(text("tool"), number("mean_ns"), text("note")) } },
        record("validity").whole { toValidity() },
    )
    if (!record.latency.isSameAs(said)) throw InputException("latency is not that of the samples")
    if (record.quotable != quotable) {
        throw InputException("quotable is what is valid, of a quoted protocol, and not emulated")
    }
    return record
}

private fun JsonRecord.toValidity(): Validity {
    val validity = Validity(nullable("rule") { text(it) })
    if (boolean("valid") != validity.valid) {
        throw InputException("validity: valid is ${boolean("valid")}, the rule is ${validity.rule}")
    }
    return validity
}

/** Values by sequence length, ascending. */
private fun <T> JsonRecord.byLength(value: JsonRecord.(String) -> T): Map<Int, T> = keys.associate { key ->
    val length = key.toIntOrNull() ?: throw InputException("\"$key\" is no length", "an integer")
    length to value(key)
}.toSortedMap()
