package io.squeezebert.edge.demo

import io.squeezebert.edge.UnknownException
import java.io.File
import java.io.IOException

/**
 * What the kernel's files say of the device and this process. Android keeps some of them from apps, more of them with
 * every version: a function throws an [UnknownException] then.
 *
 * @param root the directory that /proc and /sys are in.
 */
class KernelFacts(private val root: File = File("/")) {
    private val cpuDirectory = File(root, "sys/devices/system/cpu")

    /** How many CPUs there are, whether awake or not. */
    fun cpus(): Int = numbers().size

    /** CPUs of equal capacity, or of equal highest frequency, the fastest first. */
    fun clusters(): List<List<Int>> {
        val strengths = try {
            ofEachCpu("cpu_capacity") { it.toLong() }
        } catch (_: UnknownException) {
            ofEachCpu("cpufreq/cpuinfo_max_freq") { it.toLong() }
        }
        val kinds = strengths.distinct().sortedDescending()
        return kinds.map { kind -> strengths.indices.filter { strengths[it] == kind } }
    }

    /** The governor of each CPU. */
    fun governors(): List<String> = ofEachCpu("cpufreq/scaling_governor") { it }

    /** The frequency of each CPU. */
    fun frequenciesMhz(): List<Double> = ofEachCpu("cpufreq/scaling_cur_freq") { it.toLong() / 1000.0 }

    /** Temperatures by the sensor's own name. */
    fun temperaturesC(): Map<String, Double> {
        val zones = File(root, "sys/class/thermal").listFiles { file -> file.name.startsWith(ZONE) }.orEmpty()
        val found = LinkedHashMap<String, Double>()
        for (zone in zones.sortedBy { it.name.removePrefix(ZONE).toIntOrNull() }) {
            try {
                val name = "${read(File(zone, "type"))} (${zone.name.removePrefix(ZONE)})"
                found[name] = number(read(File(zone, "temp"))) { it.toLong() / 1000.0 }
            } catch (_: UnknownException) {
                continue // a sensor that is switched off
            }
        }
        if (found.isEmpty()) throw UnknownException("no thermal zone that an app may read in /sys/class/thermal")
        return found
    }

    /** Runnable processes, averaged over a minute. */
    fun load(): Double = number(read(File(root, "proc/loadavg")).substringBefore(' ')) { it.toDouble() }

    /** The CPUs that this process may run on. */
    fun allowedCpus(): List<Int> = status("Cpus_allowed_list").split(',').flatMap { part ->
        val ends = part.split('-').map { end -> number(end) { it.toInt() } }
        (ends.first()..ends.last()).toList()
    }

    /** Bytes of this process that are resident now. */
    fun residentBytes(): Long = kilobytes("VmRSS")

    /** Bytes of this process that were resident at most. */
    fun mostResidentBytes(): Long = kilobytes("VmHWM")

    /** Whether the kernel is one for x86, whatever the processor is said to be. */
    fun isX86(): Boolean = File(root, "proc/sys/abi/vsyscall32").exists()

    private fun kilobytes(name: String): Long = 1024 * number(status(name).removeSuffix("kB").trim()) { it.toLong() }

    private fun status(name: String): String {
        val line = read(File(root, "proc/self/status")).lines().firstOrNull { it.startsWith("$name:") }
        return line?.substringAfter(':')?.trim() ?: throw UnknownException("/proc/self/status has no $name")
    }

    private fun <T> ofEachCpu(file: String, parse: (String) -> T): List<T> =
        numbers().map { cpu -> number(read(File(cpuDirectory, "cpu$cpu/$file")), parse) }

    private fun numbers(): List<Int> {
        val found = cpuDirectory.list().orEmpty().mapNotNull { CPU.matchEntire(it)?.groupValues?.get(1)?.toInt() }
        if (found.isEmpty()) throw UnknownException("an app may not list /sys/devices/system/cpu")
        return found.sorted()
    }

    private fun read(file: File): String = try {
        file.readText().trim()
    } catch (error: IOException) {
        throw UnknownException("an app may not read it: ${error.message}")
    }

    private fun <T> number(text: String, parse: (String) -> T): T = try {
        parse(text)
    } catch (_: NumberFormatException) {
        throw UnknownException("\"$text\" where a number was expected")
    }

    private companion object {
        const val ZONE = "thermal_zone"
        val CPU = Regex("cpu([0-9]+)")
    }
}
