package io.squeezebert.edge.demo

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
    private val bundle = Bundle.open(DirectoryFiles(TinyBundle.write()))

    private fun refused(settings: Settings): String =
        assertThrows(InputException::class.java) { LiteRt("0").load(bundle, settings) }.message!!

    @Test
    fun `weights are packed once for all lengths, with the threads asked for`() {
        assertEquals(CompiledModel.CpuOptions(2, null, ":memory"), optionsOf(Settings(threads = 2)).cpuOptions)
        assertNull(optionsOf(Settings()).cpuOptions?.numThreads) // left to LiteRT
    }

    @Test
    fun `a GPU has no threads`() {
        assertNull(optionsOf(Settings(delegate = "gpu")).cpuOptions)
        assertTrue("threads 2 with delegate gpu" in refused(Settings(threads = 2, delegate = "gpu")))
    }

    @Test
    fun `what it cannot honour is refused`() {
        assertTrue("delegate npu" in refused(Settings(delegate = "npu")))
        assertTrue("runtime tflite-runtime" in refused(Settings(runtime = "tflite-runtime")))
    }
}
