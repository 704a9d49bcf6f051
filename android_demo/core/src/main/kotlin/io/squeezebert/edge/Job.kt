package io.squeezebert.edge

import java.io.BufferedOutputStream
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import java.nio.file.StandardCopyOption

/**
 * What docs/app_job.md has in job.json, found to be for this bundle.
 *
 * @property protocol to measure by; null to answer.
 */
public class Job private constructor(
    public val settings: Settings,
    public val protocol: Protocol?,
    public val queries: List<Query>,
) {
    public companion object {
        private const val JOB_VERSION = 2

        /**
         * Reads a job.json.
         *
         * @throws InputException it is no job, of another version, or its rows are not for this bundle.
         */
        public fun read(text: String, manifest: Manifest): Job = JsonRecord.read(text).whole {
            val version = integer("job_version")
            if (version != JOB_VERSION) {
                throw InputException("job_version $version", "$JOB_VERSION", "the app and the toolkit of one release")
            }
            val measures = oneOf("work", "measure", "answer") == "measure"
            val protocol = nullable("protocol") { name -> record(name).whole { toProtocol() } }
            if (measures != (protocol != null)) throw InputException("protocol is for \"measure\", null for \"answer\"")
            val settings = record("settings").whole { toSettings() }
            val inputs = texts("inputs")
            val wanted = manifest.inputs.map { it.name }
            if (inputs.sorted() != wanted.sorted()) {
                throw InputException("inputs are $inputs", "those of the bundle: $wanted")
            }
            val queries = records("rows").map { row -> row.whole { query(inputs, wanted) } }
            if (queries.isEmpty()) throw InputException("no rows", "at least one")
            val allowed = manifest.lengths.filter { settings.length == null || it == settings.length }
            queries.firstOrNull { it.length !in allowed }?.let {
                throw InputException("a row of length ${it.length}", "those of the bundle and the settings: $allowed")
            }
            Job(settings, protocol, queries)
        }

        private fun JsonRecord.query(inputs: List<String>, wanted: List<String>): Query {
            val length = integer("length")
            val values = integerLists("values")
            if (values.size != inputs.size || values.any { it.size != length }) {
                throw InputException("values are not ${inputs.size} lists of $length")
            }
            return Query(length, wanted.associateWith { values[inputs.indexOf(it)].toIntArray() })
        }
    }
}

/**
 * The directory of a job, in the first of [directories] that has it.
 *
 * @throws InputException [id] is none, or no directory has it.
 */
public fun findJob(id: String, directories: List<File>): File {
    if (id.length != 16 || id.any { it !in "0123456789abcdef" }) {
        throw InputException("\"$id\" is no job", "16 lower-case hexadecimal digits")
    }
    return directories.map { File(it, "jobs/$id") }.firstOrNull { File(it, JOB).isFile }
        ?: throw InputException("no job $id in ${directories.joinToString()}")
}

/**
 * Does the job of a directory. What goes wrong is a result too; only one that cannot be written is thrown.
 *
 * @param engines by the format that each runs, as manifests name them.
 * @param clock as for [Benchmark], and so is [progress].
 */
public fun runJob(
    directory: File,
    engines: Map<String, Engine>,
    facts: DeviceFacts,
    clock: () -> Long = System::nanoTime,
    progress: (Progress) -> Unit = {},
) {
    val result = try {
        done(directory, engines, facts, clock, progress)
    } catch (error: InputException) {
        mapOf("error" to error.message)
    } catch (error: Throwable) { // also what a runtime's libraries or its memory lack: whoever asked is waiting
        mapOf("error" to "$error")
    }
    File(directory, RESULT).writeWhole((writeJson(result) + "\n").toByteArray())
}

private const val JOB = "job.json"
private const val RESULT = "result.json"
private const val OUTPUTS = "outputs.bin"

private fun done(
    directory: File,
    engines: Map<String, Engine>,
    facts: DeviceFacts,
    clock: () -> Long,
    progress: (Progress) -> Unit,
): Map<String, Any?> {
    val bundle = Bundle.open(DirectoryFiles(File(directory, "bundle")))
    val job = Job.read(File(directory, JOB).readText(), bundle.manifest)
    val format = bundle.manifest.format
    val engine = engines[format] ?: throw InputException("a bundle for $format", engines.keys.joinToString())
    val benchmark = Benchmark(bundle, engine, facts, job.settings, clock, progress)
    if (job.protocol != null) return mapOf("run" to benchmark.measure(job.queries, job.protocol).toJson())
    return mapOf("shapes" to answers(benchmark, job.queries, File(directory, OUTPUTS)))
}

/** Writes the outputs; gives their shapes. */
private fun answers(benchmark: Benchmark, queries: List<Query>, file: File): List<List<List<Int>>> {
    val shapes = ArrayList<List<List<Int>>>()
    file.replaceWhole { partial ->
        BufferedOutputStream(partial.outputStream()).use { out ->
            benchmark.answer(queries) { shape, outputs ->
                shapes.add(shape)
                outputs.forEach { out.write(littleEndian(it)) }
            }
        }
    }
    return shapes
}

private fun littleEndian(values: FloatArray): ByteArray {
    val buffer = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
    buffer.asFloatBuffer().put(values)
    return buffer.array()
}

/** Writes a file, whole or not at all, in place of one that is there. */
internal fun File.writeWhole(content: ByteArray): Unit = replaceWhole { it.writeBytes(content) }

private fun File.replaceWhole(write: (File) -> Unit) {
    val partial = File(parentFile, "$name.partial")
    try {
        write(partial)
        Files.move(partial.toPath(), toPath(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING)
    } finally {
        partial.delete()
    }
}
