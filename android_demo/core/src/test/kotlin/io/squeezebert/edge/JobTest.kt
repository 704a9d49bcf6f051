package io.squeezebert.edge

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

/** The job of docs/app_job.md over a model whose queries take as long as their rows are long. */
class JobTest {
    private var now = 1_000_000_000L
    private val stages = ArrayList<Stage>()
    private val directory = Files.createTempDirectory("job").toFile()
    private var closed = 0

    private inner class FakeEngine(private val width: Int = 2) : Engine {
        override fun start(): Runtime {
            now += 5
            return Runtime("litert", "2.0")
        }

        override fun load(bundle: Bundle, settings: Settings): Model {
            if (settings.unit != CPU) throw InputException("unit ${settings.unit}", CPU)
            now += 70
            return object : Model {
                override fun run(entryPoint: String, inputs: Map<String, IntArray>): Map<String, FloatArray> {
                    val ids = inputs.getValue("input_ids")
                    assertEquals(listOf("input_ids", "attention_mask"), inputs.keys.toList())
                    assertEquals("length_${ids.size}", entryPoint)
                    now += 1_000_000L * ids.size
                    return mapOf("logits" to FloatArray(width) { ids[it].toFloat() })
                }

                override fun close() {
                    closed++
                }
            }
        }
    }

    private object Phone : DeviceFacts {
        override val emulated: Boolean = false

        override fun device(): Device = Unknown().let { unknown ->
            val soc = unknown.unless<String>("soc") { throw UnknownException("API 30 has no name for it") }
            Device("android", "a phone", "Android 11", "aarch64", 8, soc, listOf(listOf(7)), 1, unknown.reasons)
        }

        override fun state(): State = State(
            now(), mapOf("skin" to 30.5), "none", 0.5, false, false, listOf("walt"), listOf(1.5), 0.1, listOf(0),
            unknown = emptyMap(),
        )

        override fun processNs(): Long = 30

        override fun residentBytes(): Long = 100

        override fun mostResidentBytes(): Long = throw UnknownException("no /proc")
    }

    private fun done(
        work: String,
        changes: Map<String, Any?> = emptyMap(),
        engine: Engine = FakeEngine(),
        between: (Progress) -> Unit = {},
    ): JsonRecord {
        TinyBundle.write().copyRecursively(File(directory, "bundle"), overwrite = true)
        val rows = listOf(8, 16, 8).mapIndexed { row, length ->
            mapOf("length" to length, "values" to listOf(List(length) { 1 }, List(length) { it + row }))
        }
        val job = mapOf(
            "job_version" to 2,
            "work" to work,
            "settings" to Settings(threads = 2).toJson(),
            "protocol" to if (work == "measure") Protocol.QUICK.toJson() else null,
            "inputs" to listOf("attention_mask", "input_ids"),
            "rows" to rows,
        )
        File(directory, "job.json").writeText(writeJson(job + changes))
        runJob(directory, mapOf("tflite" to engine), Phone, { now }) {
            stages.add(it.stage)
            between(it)
        }
        assertFalse(directory.list().orEmpty().any { "partial" in it })
        return JsonRecord.read(File(directory, "result.json").readText())
    }

    private fun refused(vararg changes: Pair<String, Any?>, work: String = "answer"): String =
        done(work, mapOf(*changes)).text("error")

    @Test
    fun `a measurement has what a record says of a run`() {
        val run = done("measure").record("run")
        val cold = run.record("cold_start").whole { toColdStart() }
        assertEquals(ColdStart(35, 70, mapOf(8 to 8_000_000L, 16 to 16_000_000L), emptyMap()), cold)
        assertEquals(Memory(100, null, mapOf("peak_bytes" to "no /proc")), run.record("memory").whole { toMemory() })
        assertEquals(listOf(WarmUp(8, 20, true), WarmUp(16, 20, true)), run.records("warm_up").map { it.toWarmUp() })
        val samples = run.record("samples").whole { toSamples() }
        assertEquals(listOf(0, 1, 2, 0), samples.row.take(4))
        assertEquals(listOf(8_000_000L, 16_000_000L, 8_000_000L), samples.latencyNs.take(3))
        assertEquals("app", run.record("runtime").whole { toRuntime() }.runner)
        assertEquals(mapOf("soc" to "API 30 has no name for it"), run.record("device").whole { toDevice() }.unknown)
        assertEquals(null, Protocol.QUICK.brokenRule(samples))
        assertEquals(listOf(Stage.LOAD, Stage.FIRST, Stage.WARM_UP, Stage.MEASURE), stages.distinct())
        assertEquals(1, closed)
    }

    @Test
    fun `answers are written row after row`() {
        done("answer")
        val result = readJson(File(directory, "result.json").readText())
        assertEquals(mapOf("shapes" to List(3) { listOf(listOf(1L, 2L)) }), result)
        val values = ByteBuffer.wrap(File(directory, "outputs.bin").readBytes()).order(ByteOrder.LITTLE_ENDIAN)
        assertEquals(listOf(0f, 1f, 1f, 2f, 2f, 3f), List(6) { values.float })
        assertFalse(values.hasRemaining())
    }

    @Test
    fun `what cannot be done or honoured is refused, and nothing is ignored`() {
        fun settings(changed: Settings) = "settings" to changed.toJson()
        assertTrue("job_version 1" in refused("job_version" to 1))
        assertTrue("work is \"train\"" in refused("work" to "train"))
        assertTrue("protocol" in refused("protocol" to Protocol.QUICK.toJson()))
        assertTrue("protocol" in refused("protocol" to null, work = "measure"))
        assertTrue("surprise" in refused("surprise" to 1))
        assertTrue("surprise" in refused("settings" to Settings().toJson() + ("surprise" to 1)))
        assertTrue("threads" in refused("settings" to Settings().toJson() - "threads"))
        assertTrue("inputs are" in refused("inputs" to listOf("input_ids")))
        assertTrue("no rows" in refused("rows" to emptyList<Any>()))
        fun rows(length: Int, count: Int) =
            "rows" to listOf(mapOf("length" to length, "values" to List(2) { List(count) { 0 } }))
        assertTrue("length 9" in refused(rows(9, 9)))
        assertTrue("2 lists of 8" in refused(rows(8, 7)))
        assertTrue("length 16" in refused(settings(Settings(length = 8))))
        assertTrue("unit gpu" in refused(settings(Settings(unit = "gpu"))))
        assertTrue("settings.unit is \"npu\"" in refused(settings(Settings(unit = "npu"))))
        assertTrue("unit null" in refused(settings(Settings(unit = null))))
        assertTrue("cpus" in refused(settings(Settings(cpus = listOf(0)))))
        assertFalse(File(directory, "outputs.bin").exists())
    }

    @Test
    fun `whatever goes wrong is a result`() {
        for (work in listOf("measure", "answer")) {
            assertTrue("3 values of logits" in done(work, engine = FakeEngine(width = 3)).text("error"))
        }
        assertFalse(File(directory, "outputs.bin").exists())
        val broken = object : Engine {
            override fun start(): Runtime = throw UnsatisfiedLinkError("libLiteRt.so")

            override fun load(bundle: Bundle, settings: Settings): Model = throw AssertionError()
        }
        assertTrue("libLiteRt.so" in done("measure", engine = broken).text("error"))
        val cancelled = done("measure") {
            if (it.stage == Stage.MEASURE && it.done == 3) throw InputException("cancelled")
        }
        assertEquals("cancelled", cancelled.text("error"))
        assertEquals(3, closed)
        File(directory, "job.json").writeText("{")
        runJob(directory, mapOf(), Phone)
        assertTrue("not JSON" in File(directory, "result.json").readText())
    }

    @Test
    fun `a changed bundle is refused`() {
        done("answer")
        File(directory, "bundle/vocab.txt").appendText("x")
        runJob(directory, mapOf("tflite" to FakeEngine()), Phone)
        assertTrue("altered: vocab.txt" in File(directory, "result.json").readText())
    }

    @Test
    fun `a job is looked for in its own directories only`() {
        val id = "0123456789abcdef"
        val (external, internal) = listOf("external", "internal").map { File(directory, it) }
        for (wrong in listOf("../../etc", "0123456789ABCDEF", "0123", "")) {
            assertTrue("is no job" in refusal { findJob(wrong, listOf(external)) })
        }
        assertTrue("no job $id" in refusal { findJob(id, listOf(external, internal)) })
        File(internal, "jobs/$id").mkdirs()
        File(internal, "jobs/$id/job.json").writeText("{}")
        File(external, "jobs/$id").mkdirs()
        assertEquals(File(internal, "jobs/$id"), findJob(id, listOf(external, internal)))
    }
}
