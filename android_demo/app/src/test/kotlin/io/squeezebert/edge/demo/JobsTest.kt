package io.squeezebert.edge.demo

import io.squeezebert.edge.TinyBundle
import java.io.File
import java.util.concurrent.Executor
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

class JobsTest {
    private val external = TinyBundle.newDirectory()
    private val internal = TinyBundle.newDirectory()
    private val waiting = ArrayList<Runnable>()
    private val engine = TinyEngine()
    private val jobs = Jobs(
        { listOf(external, internal) }, mapOf("tflite" to engine), TinyPhone, Executor { waiting.add(it) }, { it() },
    )

    private fun prepare(root: File, id: String): File {
        val directory = File(root, "jobs/$id").apply { mkdirs() }
        TinyBundle.write().copyRecursively(File(directory, "bundle"))
        val nulls = """"cpus": null, "length": null, "runtime": null"""
        val row = """{"length": 8, "values": [[2, 5, 6, 7, 3, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0, 0]]}"""
        File(directory, "job.json").writeText(
            """{"job_version": 2, "work": "answer", "protocol": null,
               "settings": {"threads": 1, "unit": "cpu", $nulls},
               "inputs": ["input_ids", "attention_mask"], "rows": [$row, $row]}""",
        )
        return directory
    }

    @Test
    fun `a job is done once, however often its screen asks`() {
        val directory = prepare(external, ID)
        val state = jobs.of(ID)
        assertTrue(state.value is JobState.Running)
        assertTrue(jobs.of(ID) === state)
        waiting.single().run()
        assertEquals(JobState.Ended(null), state.value)
        assertTrue("shapes" in File(directory, "result.json").readText())
        assertEquals(16, File(directory, "outputs.bin").length())
        assertEquals(listOf("open cpu on 1", "run length_8", "run length_8", "close"), engine.log)
    }

    @Test
    fun `internal files serve where external ones have no such job`() {
        val directory = prepare(internal, ID)
        jobs.of(ID)
        waiting.single().run()
        assertTrue(File(directory, "result.json").exists())
    }

    @Test
    fun `what is no ID is not looked for`() {
        File(external, "jobs").mkdirs() // so that a path through it would lead somewhere
        prepare(external, "../$ID")
        for (id in listOf("", "../$ID", ID.uppercase(), "/etc", ID + "0", ID.dropLast(1) + "\n")) {
            jobs.of(id)
            waiting.removeAt(0).run()
            val ended = jobs.of(id).value as JobState.Ended
            assertTrue(id, "is no job" in ended.error?.message.orEmpty())
        }
        assertFalse(File(external, "$ID/result.json").exists())
    }

    @Test
    fun `an altered bundle is an error that whoever asked reads`() {
        val directory = prepare(external, ID)
        File(directory, "bundle/vocab.txt").writeText("altered")
        jobs.of(ID)
        waiting.single().run()
        val result = File(directory, "result.json").readText()
        assertTrue(result, "error" in result && "altered" in result)
    }

    private companion object {
        const val ID = "0123456789abcdef"
    }
}
