package io.squeezebert.edge

import java.io.File

/** A runtime in a program of its own, which is started once; Main.kt says what they say to each other. */
internal class ProgramEngine(private val command: List<String>) : Engine {
    private val process by lazy { ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start() }
    private val answers by lazy { process.inputStream.bufferedReader(Charsets.UTF_8) }
    private val requests by lazy { process.outputStream.writer(Charsets.UTF_8).buffered() }
    private val runtime by lazy { heard().let { Runtime(it.text("name"), it.text("version"), libc = "glibc") } }

    override fun start(): Runtime = runtime

    override fun load(bundle: Bundle, settings: Settings): Model {
        start()
        val artifact = File((bundle.files as DirectoryFiles).directory, bundle.manifest.artifact)
        ask(mapOf("artifact" to artifact.path, "threads" to settings.threads))
        return object : Model {
            override fun run(entryPoint: String, inputs: Map<String, IntArray>): Map<String, FloatArray> =
                ask(mapOf("entry_point" to entryPoint, "inputs" to inputs)).floatsByKey()

            override fun close() {
                requests.close()
                process.waitFor()
            }
        }
    }

    private fun ask(request: Map<String, Any?>): JsonRecord {
        requests.write(writeJson(request) + "\n")
        requests.flush()
        return heard()
    }

    private fun heard(): JsonRecord {
        val line = answers.readLine() ?: throw InputException("${command.joinToString(" ")} ended")
        val answer = JsonRecord.read(line)
        answer.optionalText("error")?.let { throw InputException(it) }
        return answer
    }
}

/** A desktop, of which nothing is looked up. */
internal object HostFacts : DeviceFacts {
    override val emulated: Boolean = false

    override fun device(): Device = Unknown().let { unknown ->
        Device(
            kind = "host",
            name = System.getProperty("os.arch"),
            os = System.getProperty("os.name"),
            architecture = System.getProperty("os.arch"),
            cpus = java.lang.Runtime.getRuntime().availableProcessors(),
            soc = unknown.unless("soc") { refuse() },
            clusters = unknown.unless("clusters") { refuse() },
            memoryBytes = unknown.unless("memory_bytes") { refuse() },
            unknown = unknown.reasons,
        )
    }

    override fun state(): State = Unknown().let { unknown ->
        State(
            time = now(),
            temperaturesC = unknown.unless("temperatures_c") { refuse() },
            thermalStatus = unknown.unless("thermal_status") { refuse() },
            battery = unknown.unless("battery") { refuse() },
            charging = unknown.unless("charging") { refuse() },
            lowPowerMode = unknown.unless("low_power_mode") { refuse() },
            governors = unknown.unless("governors") { refuse() },
            frequenciesMhz = unknown.unless("frequencies_mhz") { refuse() },
            load = unknown.unless("load") { refuse() },
            allowedCpus = unknown.unless("allowed_cpus") { refuse() },
            unknown = unknown.reasons,
        )
    }

    override fun processNs(): Long = refuse()

    override fun residentBytes(): Long = refuse()

    override fun mostResidentBytes(): Long = refuse()

    private fun refuse(): Nothing = throw UnknownException("the command line does not look for it")
}
