package io.squeezebert.edge

import java.io.File
import java.security.SecureRandom

/**
 * One measurement of one bundle on one device, as docs/record.md and docs/record.schema.json have it. What
 * follows from the samples is computed; one that contradicts itself is an [InputException].
 *
 * @property id unlike any other record's.
 * @property time when it was written, UTC, ISO 8601.
 */
public data class Record(
    val run: Run,
    val id: String,
    val time: String,
    val generator: String,
    val bundle: Measured,
    val settings: Settings,
    val protocol: Protocol,
    val repeat: Repeat,
    val texts: Texts,
    val tokenization: Tokenization,
    val foreign: List<Foreign>,
    val validity: Validity,
) {
    /** The samples in numbers. */
    val latency: Latency

    /** Whether the latency may be shown as the device's: valid, of a protocol that is quoted, not emulated. */
    val quotable: Boolean
        get() = validity.valid && protocol.quoted && !run.emulated

    init {
        val samples = run.samples
        val columns = listOf(samples.row, samples.length, samples.startNs, samples.latencyNs).map { it.size }
        if (columns.distinct().size != 1 || columns[0] == 0) {
            throw InputException("samples: columns of different lengths, or none")
        }
        latency = Latency.of(samples)
        if (repeat.mediansNs[repeat.index - 1] != latency.overall.p50Ns) {
            throw InputException("repeat: the median of this run is another")
        }
        val rule = protocol.brokenRule(samples) ?: brokenRepeat(repeat.mediansNs)
        if (rule != null && validity.valid) throw InputException("validity says valid, the samples say $rule")
    }

    /** The record as one line of JSON. */
    public fun encoded(): String = writeJson(toJson()) + "\n"

    /** Writes it into a directory of records, whole or not at all, beside what is there; gives its file. */
    public fun write(directory: File): File {
        val stamp = time.filter { it != '-' && it != ':' }
        val file = File(directory, "${bundle.name}.${run.device.kind}.$stamp.$id$SUFFIX")
        directory.mkdirs()
        file.writeWhole(encoded().toByteArray())
        return file
    }

    public companion object {
        /** How the name of a record's file ends. */
        public const val SUFFIX: String = ".record.json"

        /** A record of a single run. */
        public fun of(
            run: Run,
            generator: String,
            bundle: Bundle,
            settings: Settings,
            protocol: Protocol,
            texts: Texts,
            tokenization: Tokenization,
        ): Record {
            if (run.samples.latencyNs.isEmpty()) throw InputException("no samples")
            return Record(
                run = run,
                id = newId(),
                time = now(),
                generator = generator,
                bundle = Measured.of(bundle),
                settings = settings,
                protocol = protocol,
                repeat = Repeat(1, 1, listOf(Statistics.of(run.samples.latencyNs).p50Ns)),
                texts = texts,
                tokenization = tokenization,
                foreign = emptyList(),
                validity = Validity(protocol.brokenRule(run.samples)),
            )
        }

        /**
         * A record as it was written.
         *
         * @throws InputException it is cut short, of another version, or contradicts itself.
         */
        public fun read(text: String): Record = JsonRecord.read(text).whole { toRecord() }

        private fun newId(): String =
            ByteArray(8).also { SecureRandom().nextBytes(it) }.toHexadecimal()
    }
}

/**
 * What a device measured, before it is known what of and whether that counts.
 *
 * @property emulated whether the processor is a program: its times are no evidence.
 */
public data class Run(
    val device: Device,
    val runtime: Runtime,
    val before: State,
    val after: State,
    val coldStart: ColdStart,
    val memory: Memory,
    val warmUp: List<WarmUp>,
    val samples: Samples,
    val emulated: Boolean,
)

/** Which of several runs in a row this is, from 1, and the medians of all. */
public data class Repeat(val index: Int, val of: Int, val mediansNs: List<Long>) {
    init {
        if (index !in 1..of || of != mediansNs.size) {
            throw InputException("repeat: run $index of $of, with ${mediansNs.size} medians")
        }
    }
}

/** The rule that a measurement broke, or null. */
public data class Validity(val rule: String?) {
    /** Whether it kept them all. */
    val valid: Boolean
        get() = rule == null
}

/** A number of somebody else's tool, beside ours; [note] is why it is none of ours. */
public data class Foreign(val tool: String, val meanNs: Double, val note: String)
