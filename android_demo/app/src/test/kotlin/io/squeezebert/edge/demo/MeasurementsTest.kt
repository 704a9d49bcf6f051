package io.squeezebert.edge.demo

import io.squeezebert.edge.DirectoryFiles
import io.squeezebert.edge.Progress
import io.squeezebert.edge.Protocol
import io.squeezebert.edge.Record
import io.squeezebert.edge.Settings
import io.squeezebert.edge.Stage
import io.squeezebert.edge.TinyBundle
import java.io.File
import java.util.concurrent.Executor
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

class MeasurementsTest {
    private val records = TinyBundle.newDirectory()
    private val engine = TinyEngine()
    private val waiting = ArrayList<Runnable>()
    private val measurements =
        Measurements(mapOf("tflite" to engine), TinyPhone, records, "a test", Executor { waiting.add(it) }) { it() }
    private val bundle = Shelf(TinyBundle.newDirectory()).run {
        add(DirectoryFiles(TinyBundle.write()))
        list().single()
    }

    @Test
    fun `a measurement becomes a record`() {
        measurements.start(bundle, Protocol.exactly(20), Settings(threads = 2))
        waiting.removeAt(0).run()
        val done = measurements.state.value as MeasurementState.Done
        assertEquals("open cpu on 2", engine.log.first())
        assertEquals("close", engine.log.last())
        assertEquals(records, done.file.parentFile)
        val read = Record.read(done.file.readText())
        assertEquals(20, read.run.samples.latencyNs.size)
        assertEquals(2, read.settings.threads)
        assertEquals("app", read.run.runtime.runner)
        assertFalse(read.quotable)
    }

    @Test
    fun `another unit is measured alone, and named in the record`() {
        measurements.start(bundle, Protocol.exactly(20), Settings(unit = "gpu"))
        waiting.removeAt(0).run()
        val done = measurements.state.value as MeasurementState.Done
        assertEquals("gpu", Record.read(done.file.readText()).settings.unit)
        engine.refused = listOf("gpu")
        measurements.start(bundle, Protocol.exactly(20), Settings(unit = "gpu"))
        waiting.removeAt(0).run()
        assertTrue(measurements.state.value is MeasurementState.Failed)
    }

    @Test
    fun `a cancelled one leaves no record`() {
        measurements.start(bundle, Protocol.exactly(20), Settings())
        measurements.cancel()
        waiting.removeAt(0).run()
        assertEquals(MeasurementState.Cancelled, measurements.state.value)
        assertEquals(emptyList<String>(), records.list().orEmpty().toList())
    }

    @Test
    fun `one runs at a time`() {
        measurements.start(bundle, Protocol.exactly(20), Settings())
        measurements.start(bundle, Protocol.exactly(20), Settings())
        assertEquals(1, waiting.size)
    }

    @Test
    fun `what goes wrong is shown`() {
        File(bundle.directory, "vocab.txt").writeText("altered")
        measurements.start(bundle, Protocol.exactly(20), Settings())
        waiting.removeAt(0).run()
        val failed = measurements.state.value as MeasurementState.Failed
        assertTrue("altered" in failed.error.message.orEmpty())
    }

    @Test
    fun `progress is shown when a stage begins, and twice a second`() {
        var time = 0L
        val shown = ArrayList<Int>()
        val show = sparsely({ time }) { shown.add(it.done) }
        for (tenth in 0..9) {
            time = tenth * 100_000_000L
            show(Progress(if (tenth < 2) Stage.WARM_UP else Stage.MEASURE, tenth, 0.0))
        }
        assertEquals(listOf(0, 2, 7), shown)
    }

    @Test
    fun `there are texts for every task`() {
        val classifier = bundle.manifest
        for (task in listOf("text-classification", "question-answering", "multiple-choice", "fill-mask")) {
            val texts = sampleTexts(classifier.copy(task = task))
            assertTrue(task, texts.size >= 3)
        }
        assertTrue(sampleTexts(classifier.copy(task = "fill-mask")).all { "[MASK]" in it.single() })
    }
}
