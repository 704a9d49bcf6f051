package io.squeezebert.edge.demo

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import io.squeezebert.edge.Bundle
import io.squeezebert.edge.DirectoryFiles
import io.squeezebert.edge.InputException
import io.squeezebert.edge.Settings
import io.squeezebert.edge.TinyBundle
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** What LiteRT is asked for; what it computes needs a phone. */
class LiteRtTest {
    private val bundle = Bundle.open(DirectoryFiles(TinyBundle.write(manifest = TinyBundle.WITH_UNITS)))
    private val libraries = TinyBundle.newDirectory()
    private val liteRt = LiteRt("0", "SM8650", libraries)

    private fun refused(settings: Settings): String =
        assertThrows(InputException::class.java) { liteRt.load(bundle, settings) }.message!!

    @Test
    fun `weights are packed once for all lengths, with the threads asked for`() {
        assertEquals(CompiledModel.CpuOptions(2, null, ":memory"), optionsOf(Settings(threads = 2)).cpuOptions)
        assertNull(optionsOf(Settings()).cpuOptions?.numThreads) // left to LiteRT
    }

    @Test
    fun `in float16, XNNPACK is forced to it and caches no weights`() {
        val options = optionsOf(Settings(threads = 2, unit = "cpu-fp16")).cpuOptions
        assertEquals(CompiledModel.CpuOptions(2, 7, null), options)
    }

    @Test
    fun `each unit is asked for alone`() {
        val named = mapOf(
            "cpu" to Accelerator.CPU,
            "cpu-fp16" to Accelerator.CPU,
            "gpu" to Accelerator.GPU,
            "npu:SM8650" to Accelerator.NPU,
        )
        for ((unit, accelerator) in named) assertEquals(accelerator, acceleratorOf(unit))
    }

    @Test
    fun `neither a GPU nor an NPU has threads`() {
        for (unit in listOf("gpu", "npu:SM8650")) {
            assertNull(optionsOf(Settings(unit = unit)).cpuOptions)
            assertTrue("threads 2 with unit $unit" in refused(Settings(threads = 2, unit = unit)))
        }
    }

    @Test
    fun `an NPU takes the file of its chip, and an app that has its libraries`() {
        assertTrue("no files for npu:SM8750" in refused(Settings(unit = "npu:SM8750")))
        assertTrue("on a phone with the chip SM8650" in refused(Settings(unit = "npu:SM8550")))
        assertTrue("no libLiteRtDispatch_" in refused(Settings(unit = "npu:SM8650")))
    }

    @Test
    fun `what it cannot honour is refused`() {
        assertTrue("unit ane" in refused(Settings(unit = "ane")))
        assertTrue("runtime tflite-runtime" in refused(Settings(runtime = "tflite-runtime")))
    }
}
