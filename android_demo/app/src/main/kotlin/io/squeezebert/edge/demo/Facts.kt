package io.squeezebert.edge.demo

import io.squeezebert.edge.Device
import io.squeezebert.edge.DeviceFacts
import io.squeezebert.edge.State
import io.squeezebert.edge.Unknown
import io.squeezebert.edge.UnknownException
import io.squeezebert.edge.now

/** What the system says of the phone. A function throws an [UnknownException] where it does not. */
interface Phone {
    val name: String
    val os: String
    val architecture: String

    /** What it runs, preferred first, by Android's names. */
    val abis: List<String>

    /** Whether it is an emulator. */
    val isVirtual: Boolean

    /** From the start of this process to the first of the app's code. */
    val startedNs: Long

    fun soc(): String

    /** The chip's model, as a file for its NPU is named. */
    fun chip(): String

    fun memoryBytes(): Long

    /** Of Android's states, from 0, none, to 6, shutdown. */
    fun thermalStatus(): Int

    fun batteryC(): Double

    /** How full the battery is, from 0 to 1. */
    fun battery(): Double

    fun isCharging(): Boolean

    fun isPowerSaving(): Boolean
}

/** What a record says of a phone: what the system does, and the kernel. Words are those of `--device android`. */
class Facts(private val phone: Phone, private val kernel: KernelFacts = KernelFacts()) : DeviceFacts {
    override val emulated: Boolean
        get() = phone.isVirtual || (kernel.isX86() && phone.abis.none { "x86" in it })

    override fun device(): Device {
        val unknown = Unknown()
        return Device(
            kind = "android",
            name = phone.name,
            os = phone.os,
            architecture = phone.architecture,
            cpus = cpus(),
            soc = unknown.unless("soc") { phone.soc() },
            clusters = unknown.unless("clusters") { kernel.clusters() },
            memoryBytes = unknown.unless("memory_bytes") { phone.memoryBytes() },
            unknown = unknown.reasons,
        )
    }

    /** The chip's model, as a file for its NPU is named; null where the system does not say it. */
    val chip: String?
        get() = Unknown().unless("chip") { phone.chip().replace(Regex("\\W+"), "_") }

    override fun state(): State {
        val unknown = Unknown()
        return State(
            time = now(),
            temperaturesC = unknown.unless("temperatures_c") { temperaturesC() },
            thermalStatus = unknown.unless("thermal_status") { thermalStatus() },
            battery = unknown.unless("battery") { phone.battery() },
            charging = unknown.unless("charging") { phone.isCharging() },
            lowPowerMode = unknown.unless("low_power_mode") { phone.isPowerSaving() },
            governors = unknown.unless("governors") { kernel.governors() },
            frequenciesMhz = unknown.unless("frequencies_mhz") { kernel.frequenciesMhz() },
            load = unknown.unless("load") { kernel.load() },
            allowedCpus = unknown.unless("allowed_cpus") { kernel.allowedCpus() },
            unknown = unknown.reasons,
        )
    }

    override fun processNs(): Long = phone.startedNs

    override fun residentBytes(): Long = kernel.residentBytes()

    override fun mostResidentBytes(): Long = kernel.mostResidentBytes()

    private fun cpus(): Int = try {
        kernel.cpus()
    } catch (_: UnknownException) {
        Runtime.getRuntime().availableProcessors() // without those that sleep
    }

    private fun thermalStatus(): String = phone.thermalStatus().let { THERMAL_STATUS.getOrElse(it) { _ -> "$it" } }

    /** The kernel's sensors, which few phones let an app read, and the battery's. */
    private fun temperaturesC(): Map<String, Double> {
        val unknown = Unknown()
        val sensors = unknown.unless("sensors") { kernel.temperaturesC() }.orEmpty()
        val battery = unknown.unless("battery") { mapOf("battery" to phone.batteryC()) }.orEmpty()
        return (sensors + battery).ifEmpty { throw UnknownException(unknown.reasons.values.joinToString("; ")) }
    }

    private companion object {
        val THERMAL_STATUS = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
    }
}
