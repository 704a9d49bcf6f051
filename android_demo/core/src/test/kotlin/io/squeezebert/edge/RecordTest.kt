package io.squeezebert.edge

import java.io.File
import java.nio.file.Files
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** What follows from samples; tests/demos/cases.py compares reading and writing with Python's. */
class RecordTest {
    private val texts = File(System.getProperty("vectors"), "records").listFiles().orEmpty().map { it.readText() }
    private val example = texts.map { Record.read(it) }.first { it.quotable }
    private val bundle = Bundle.open(DirectoryFiles(TinyBundle.write()))

    private fun recordOf(run: Run, protocol: Protocol): Record {
        val tokenization = Tokenization("device", Statistics.of(listOf(5)))
        return Record.of(run, "a test", bundle, Settings(), protocol, Texts("a screen", 1, 1), tokenization)
    }

    @Test
    fun `every key is written where Python writes it`() {
        for (text in texts) {
            val written = Record.read(text).encoded()
            assertEquals(keys(readJson(text)), keys(readJson(written)))
            assertEquals(Record.read(text), Record.read(written))
        }
        assertTrue(texts.size >= 6)
    }

    private fun keys(value: Any?): Any? = when (value) {
        is Map<*, *> -> value.map { (key, item) -> key to keys(item) }
        is List<*> -> value.map { keys(it) }.distinct()
        else -> null
    }

    @Test
    fun `what is valid and quotable follows from the samples`() {
        val made = recordOf(example.run, Protocol.QUICK)
        assertTrue(made.quotable)
        assertEquals(made, Record.read(made.encoded()))
        assertEquals(bundle.sha256, made.bundle.sha256)
        assertEquals("no model".length.toLong(), made.bundle.artifactBytes)
        assertNotEquals(made.id, recordOf(example.run, Protocol.QUICK).id)
        assertFalse(recordOf(example.run, Protocol.RAPID).quotable)
        assertFalse(recordOf(example.run.copy(emulated = true), Protocol.QUICK).quotable)
        assertEquals(Validity("too slow"), recordOf(example.run, Protocol.exactly(1_000_000)).validity)
        val none = Samples(emptyList(), emptyList(), emptyList(), emptyList())
        assertTrue("no samples" in refusal { recordOf(example.run.copy(samples = none), Protocol.QUICK) })
    }

    @Test
    fun `a record is written beside the others`() {
        val directory = File(Files.createTempDirectory("records").toFile(), "new")
        val files = List(2) { recordOf(example.run, Protocol.QUICK).write(directory) }
        assertEquals(files.toSet(), directory.listFiles().orEmpty().toSet())
        assertTrue(files.all { it.name.endsWith(".record.json") && Record.read(it.readText()).quotable })
    }

    @Test
    fun `a null without a reason, and a reason without a null, are refused`() {
        assertTrue("null is [peak_bytes], explained is []" in refusal { Memory(1, null, emptyMap()) })
        assertTrue("explained is [peak_bytes]" in refusal { Memory(1, 2, mapOf("peak_bytes" to "why")) })
    }
}
