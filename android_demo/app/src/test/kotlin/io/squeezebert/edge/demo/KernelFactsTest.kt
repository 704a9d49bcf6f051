package io.squeezebert.edge.demo

import io.squeezebert.edge.TinyBundle
import io.squeezebert.edge.UnknownException
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class KernelFactsTest {
    private val root = TinyBundle.newDirectory()
    private val facts = KernelFacts(root)

    private fun put(path: String, content: String) = File(root, path).run {
        parentFile.mkdirs()
        writeText("$content\n")
    }

    private fun reason(call: () -> Unit): String = try {
        call()
        throw AssertionError("known")
    } catch (error: UnknownException) {
        error.message.orEmpty()
    }

    @Test
    fun `what the kernel gives`() {
        for (cpu in 0..10) {
            put("sys/devices/system/cpu/cpu$cpu/cpu_capacity", if (cpu < 8) "250" else "1024")
            put("sys/devices/system/cpu/cpu$cpu/cpufreq/scaling_governor", "walt")
            put("sys/devices/system/cpu/cpu$cpu/cpufreq/scaling_cur_freq", "${1_000_000 + 1000 * cpu}")
        }
        put("sys/devices/system/cpu/cpufreq/other", "")
        put("sys/class/thermal/thermal_zone10/type", "skin")
        put("sys/class/thermal/thermal_zone10/temp", "31500")
        put("sys/class/thermal/thermal_zone2/type", "cpu")
        put("sys/class/thermal/thermal_zone2/temp", "45000")
        put("sys/class/thermal/thermal_zone3/type", "off")
        put("proc/loadavg", "1.25 0.90 0.41 2/900 1234")
        put("proc/self/status", "Name:\tdemo\nVmHWM:\t   2000 kB\nVmRSS:\t   1000 kB\nCpus_allowed_list:\t0-3,6")
        assertEquals(11, facts.cpus())
        assertEquals(listOf(listOf(8, 9, 10), (0..7).toList()), facts.clusters())
        assertEquals(List(11) { "walt" }, facts.governors())
        assertEquals(1010.0, facts.frequenciesMhz()[10], 0.0)
        assertEquals(listOf("cpu (2)" to 45.0, "skin (10)" to 31.5), facts.temperaturesC().toList())
        assertEquals(1.25, facts.load(), 0.0)
        assertEquals(listOf(0, 1, 2, 3, 6), facts.allowedCpus())
        assertEquals(1_024_000, facts.residentBytes())
        assertEquals(2_048_000, facts.mostResidentBytes())
    }

    @Test
    fun `without capacities the highest frequencies tell kinds apart`() {
        put("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "1800000")
        put("sys/devices/system/cpu/cpu1/cpufreq/cpuinfo_max_freq", "2400000")
        assertEquals(listOf(listOf(1), listOf(0)), facts.clusters())
    }

    @Test
    fun `what it does not give has a reason`() {
        assertTrue("system/cpu" in reason { facts.clusters() })
        put("sys/devices/system/cpu/cpu0/online", "1")
        assertTrue("scaling_governor" in reason { facts.governors() })
        assertTrue("thermal" in reason { facts.temperaturesC() })
        assertTrue("loadavg" in reason { facts.load() })
        put("proc/loadavg", "busy")
        assertTrue("busy" in reason { facts.load() })
        put("proc/self/status", "Name:\tdemo")
        assertTrue("VmRSS" in reason { facts.residentBytes() })
    }
}
