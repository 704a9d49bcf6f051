package io.squeezebert.edge

import java.time.Instant
import java.time.temporal.ChronoUnit

/** A fact that a device does not give, and why. */
public class UnknownException(reason: String) : Exception(reason)

/**
 * Asks for facts and keeps why some are not known, by their names in JSON: what a record calls `unknown`.
 *
 *     val unknown = Unknown()
 *     Memory(unknown.unless("baseline_bytes") { resident() }, unknown.unless("peak_bytes") { most() }, unknown.reasons)
 */
public class Unknown {
    private val found = LinkedHashMap<String, String>()

    /** Why each of those that were not known is not. */
    public val reasons: Map<String, String>
        get() = found

    /** What [source] gives, or null if it throws an [UnknownException]. */
    public fun <T : Any> unless(name: String, source: () -> T): T? = try {
        source()
    } catch (error: UnknownException) {
        found[name] = error.message.orEmpty()
        null
    }
}

/** Refuses a null that is not explained, and a reason for what is no null. */
private fun requireExplained(fields: Map<String, Any?>, unknown: Map<String, String>) {
    val missing = fields.keys.filter { fields[it] == null }.toSet()
    if (missing != unknown.keys) {
        throw InputException("null is ${missing.sorted()}, explained is ${unknown.keys.sorted()}")
    }
}

/**
 * What was measured on; a null has its reason in [unknown], by its name in JSON.
 *
 * @property kind `host`, `ssh`, `android` or `ios`.
 * @property name model or processor.
 * @property cpus how many.
 * @property soc the chip.
 * @property clusters numbers of the CPUs of each kind, the fastest kind first; one list where all are alike.
 */
public data class Device(
    val kind: String,
    val name: String,
    val os: String,
    val architecture: String,
    val cpus: Int?,
    val soc: String?,
    val clusters: List<List<Int>>?,
    val memoryBytes: Long?,
    val unknown: Map<String, String>,
) {
    init {
        requireExplained(toJson(), unknown)
    }
}

/**
 * How a device was at a moment; a null has its reason in [unknown], by its name in JSON.
 *
 * @property time UTC, ISO 8601: see [now].
 * @property temperaturesC by the sensor's own name.
 * @property thermalStatus the system's own word.
 * @property battery from 0 to 1.
 * @property governors of each CPU, by number.
 * @property frequenciesMhz of each CPU, by number.
 * @property load runnable processes, averaged over a minute.
 * @property allowedCpus where the measured process may run.
 */
public data class State(
    val time: String,
    val temperaturesC: Map<String, Double>?,
    val thermalStatus: String?,
    val battery: Double?,
    val charging: Boolean?,
    val lowPowerMode: Boolean?,
    val governors: List<String>?,
    val frequenciesMhz: List<Double>?,
    val load: Double?,
    val allowedCpus: List<Int>?,
    val unknown: Map<String, String>,
) {
    init {
        requireExplained(toJson(), unknown)
    }
}

/**
 * What computed.
 *
 * @property name `executorch`, `litert`, `tflite-runtime` or `coreml`.
 * @property runner what called it: `python`, `native` or `app`.
 * @property libc `glibc`, `bionic`, `musl` or `darwin`.
 */
public data class Runtime(
    val name: String,
    val version: String,
    val runner: String = "app",
    val libc: String = "bionic",
)

/** The bundle; [sha256] is its manifest's, which holds the hashes of its files. */
public data class Measured(
    val name: String,
    val sha256: String,
    val checkpoint: String,
    val checkpointSha256: String,
    val task: String,
    val format: String,
    val precision: String,
    val exactPrecision: String,
    val form: String,
    val lengths: List<Int>,
    val artifactBytes: Long,
) {
    public companion object {
        /** What a record says of a bundle. */
        public fun of(bundle: Bundle): Measured = Measured(
            name = bundle.files.name,
            sha256 = bundle.sha256,
            checkpoint = bundle.manifest.checkpoint,
            checkpointSha256 = bundle.manifest.checkpointSha256,
            task = bundle.manifest.task,
            format = bundle.manifest.format,
            precision = bundle.manifest.precision,
            exactPrecision = bundle.manifest.exactPrecision,
            form = bundle.manifest.form,
            lengths = bundle.manifest.lengths,
            artifactBytes = bundle.artifactBytes,
        )
    }
}

/**
 * What was asked for; null leaves it to the runtime or the system.
 *
 * @property unit the compute unit: `cpu`, `cpu-fp16` (in float16), `gpu`, `ane`, or `npu:` and the chip.
 * @property cpus the only ones to run on.
 * @property length the one that every text is padded or cut to; by default each text's shortest.
 * @property runtime which of several a format has, by its package's name.
 */
public data class Settings(
    val threads: Int? = null,
    val unit: String? = CPU,
    val cpus: List<Int>? = null,
    val length: Int? = null,
    val runtime: String? = null,
)

/** What was asked: the source's name, its texts, and the rows of tokens that they became. */
public data class Texts(val source: String, val texts: Int, val rows: Int)

/** How long it takes to make a text's rows, no part of any latency; [where] is `host` or `device`. */
public data class Tokenization(val where: String, val statistics: Statistics)

/**
 * Before anything is warm, apart from the samples.
 *
 * @property processNs from the start of the process to the runtime being ready to load.
 * @property loadNs opening the artifact.
 * @property firstNs the first query at each length.
 */
public data class ColdStart(
    val processNs: Long?,
    val loadNs: Long?,
    val firstNs: Map<Int, Long>?,
    val unknown: Map<String, String>,
) {
    init {
        requireExplained(toJson(), unknown)
    }
}

/** Resident bytes of the process: before the artifact is opened, and at most after a query at each length. */
public data class Memory(val baselineBytes: Long?, val peakBytes: Long?, val unknown: Map<String, String>) {
    init {
        requireExplained(toJson(), unknown)
    }
}

/** This moment as records have it. */
public fun now(): String = Instant.now().truncatedTo(ChronoUnit.SECONDS).toString()
