package io.squeezebert.edge.demo

import io.squeezebert.edge.TinyBundle
import io.squeezebert.edge.UnknownException
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test

class FactsTest {
    private val root = TinyBundle.newDirectory()

    private fun put(path: String, content: String) = File(root, path).run {
        parentFile.mkdirs()
        writeText(content)
    }

    private fun facts(phone: Phone) = Facts(phone, KernelFacts(root))

    @Test
    fun `a phone that says nothing gives nulls that are explained`() {
        val facts = facts(Silent)
        assertEquals(setOf("soc", "clusters", "memory_bytes"), facts.device().unknown.keys)
        assertTrue(checkNotNull(facts.device().cpus) >= 1)
        val state = facts.state()
        assertEquals(9, state.unknown.size)
        assertTrue(state.unknown.values.all { it.isNotBlank() })
        assertNull(state.battery)
        assertNull(facts.chip)
    }

    @Test
    fun `what a phone says is in its words`() {
        put("sys/class/thermal/thermal_zone0/type", "cpu")
        put("sys/class/thermal/thermal_zone0/temp", "45000")
        val state = facts(Talking).state()
        assertEquals("moderate", state.thermalStatus)
        assertEquals(mapOf("cpu (0)" to 45.0, "battery" to 31.5), state.temperaturesC)
        assertEquals(0.5, state.battery ?: 0.0, 0.0)
        assertEquals(true, state.charging)
        assertEquals("a chip", facts(Talking).device().soc)
        assertEquals("Tensor_G4", facts(Talking).chip)
    }

    @Test
    fun `an Arm phone over an x86 kernel is emulated`() {
        assertFalse(facts(Talking).emulated)
        put("proc/sys/abi/vsyscall32", "1")
        assertTrue(facts(Talking).emulated)
    }

    private object Silent : Phone {
        override val name = "phone"
        override val os = "Android"
        override val architecture = "aarch64"
        override val abis = listOf("arm64-v8a")
        override val isVirtual = false
        override val startedNs = 1L

        override fun soc(): String = unsaid()

        override fun chip(): String = unsaid()

        override fun memoryBytes(): Long = unsaid()

        override fun thermalStatus(): Int = unsaid()

        override fun batteryC(): Double = unsaid()

        override fun battery(): Double = unsaid()

        override fun isCharging(): Boolean = unsaid()

        override fun isPowerSaving(): Boolean = unsaid()

        private fun unsaid(): Nothing = throw UnknownException("a silent phone")
    }

    private object Talking : Phone by Silent {
        override fun soc(): String = "a chip"

        override fun chip(): String = "Tensor G4"

        override fun memoryBytes(): Long = 8_000_000_000

        override fun thermalStatus(): Int = 2

        override fun batteryC(): Double = 31.5

        override fun battery(): Double = 0.5

        override fun isCharging(): Boolean = true

        override fun isPowerSaving(): Boolean = false
    }
}
