package io.squeezebert.edge.demo

import io.squeezebert.edge.DirectoryFiles
import io.squeezebert.edge.LabelAnswer
import io.squeezebert.edge.TinyBundle
import java.io.File
import java.util.concurrent.Executor
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

class AnswersTest {
    private val shelf = Shelf(TinyBundle.newDirectory())
    private val engine = TinyEngine()
    private val waiting = ArrayList<Runnable>()
    private val answers = Answers(mapOf("tflite" to engine), "SM8650", Executor { waiting.add(it) }) { it() }

    private fun shelved(name: String, manifest: String = TinyBundle.MANIFEST): Shelved {
        shelf.add(DirectoryFiles(TinyBundle.write(name, manifest)))
        return shelf.list().first { it.name == name }
    }

    private fun work() {
        while (waiting.isNotEmpty()) waiting.removeAt(0).run()
    }

    @Test
    fun `every bundle answers, and stays open for the next question`() {
        val bundles = listOf(shelved("one"), shelved("two"))
        answers.ask(bundles, listOf("A film."))
        assertTrue(answers.state.value.isBusy)
        work()
        assertFalse(answers.state.value.isBusy)
        val outcomes = answers.state.value.bundles.map { it.outcome as Outcome.Answered }
        assertEquals(listOf("positive", "positive"), outcomes.map { (it.answer as LabelAnswer).label })
        assertEquals(listOf("open cpu", "run length_8", "open cpu", "run length_8"), engine.log)
        answers.ask(bundles.take(1), listOf("Another film."))
        work()
        assertEquals(listOf("close", "run length_8"), engine.log.drop(4))
    }

    @Test
    fun `the best unit that takes a bundle answers, and says which it is`() {
        val bundle = shelved("one", TinyBundle.WITH_UNITS)
        for ((missing, unit) in listOf("" to "npu:SM8650", "npu" to "gpu", "npu gpu" to "cpu")) {
            engine.refused = missing.split(" ").filter { it.isNotEmpty() }
            answers.ask(listOf(bundle), listOf("A film."))
            answers.release()
            work()
            val answered = answers.state.value.bundles.single().outcome as Outcome.Answered
            assertEquals(unit, answered.unit)
            assertEquals(engine.refused.size, answered.refusals.size)
            assertTrue(answered.refusals.values.all { "no library" in it.message.orEmpty() })
        }
    }

    @Test
    fun `one bundle's failure is its own`() {
        val bundles = listOf(shelved("one"), shelved("two"))
        File(bundles[0].directory, "model.tflite").writeText("altered")
        answers.ask(bundles, listOf("A film."))
        work()
        val (first, second) = answers.state.value.bundles.map { it.outcome }
        assertTrue("altered" in (first as Outcome.Failed).error.message.orEmpty())
        assertTrue(second is Outcome.Answered)
    }

    @Test
    fun `texts of another task are an error to show`() {
        answers.ask(listOf(shelved("one")), listOf("a", "film", "."))
        work()
        assertTrue(answers.state.value.bundles.single().outcome is Outcome.Failed)
    }

    @Test
    fun `a format without a runtime is named`() {
        val none = Answers(emptyMap(), null, Executor { it.run() }) { it() }
        none.ask(listOf(shelved("one")), listOf("A film."))
        val failed = none.state.value.bundles.single().outcome as Outcome.Failed
        assertTrue("a bundle for tflite" in failed.error.message.orEmpty())
    }

    @Test
    fun `released bundles are closed and opened again`() {
        val bundle = shelved("one")
        answers.ask(listOf(bundle), listOf("A film."))
        answers.release()
        answers.ask(listOf(bundle), listOf("A film."))
        work()
        assertEquals(listOf("open cpu", "run length_8", "close", "open cpu", "run length_8"), engine.log)
    }
}
