package io.squeezebert.edge.demo

import android.app.ActivityManager
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import android.os.Process
import android.os.SystemClock
import io.squeezebert.edge.Device
import io.squeezebert.edge.DeviceFacts
import io.squeezebert.edge.State
import io.squeezebert.edge.Unknown
import io.squeezebert.edge.UnknownException
import io.squeezebert.edge.now

/**
 * What Android says of the phone, and where it does not, the kernel. Words are those of `--device android`.
 *
 * @param startedNs from the start of the process to the first of the app's code.
 */
class AndroidFacts(private val context: Context, private val startedNs: Long) : DeviceFacts {
    private val kernel = KernelFacts()

    override val emulated: Boolean
        get() = Build.HARDWARE in VIRTUAL || (kernel.isX86() && Build.SUPPORTED_ABIS.none { "x86" in it })

    override fun device(): Device {
        val unknown = Unknown()
        return Device(
            kind = "android",
            name = "${Build.MANUFACTURER} ${Build.MODEL}",
            os = "Android ${Build.VERSION.RELEASE}, API level ${Build.VERSION.SDK_INT}, Linux ${property("os.version")}",
            architecture = property("os.arch"),
            cpus = cpus(),
            soc = unknown.unless("soc") { soc() },
            clusters = unknown.unless("clusters") { kernel.clusters() },
            memoryBytes = memoryBytes(),
            unknown = unknown.reasons,
        )
    }

    override fun state(): State {
        val unknown = Unknown()
        return State(
            time = now(),
            temperaturesC = unknown.unless("temperatures_c") { temperatures() },
            thermalStatus = unknown.unless("thermal_status") { thermalStatus() },
            battery = unknown.unless("battery") { level() },
            charging = unknown.unless("charging") { isCharging() },
            lowPowerMode = service(PowerManager::class.java).isPowerSaveMode,
            governors = unknown.unless("governors") { kernel.governors() },
            frequenciesMhz = unknown.unless("frequencies_mhz") { kernel.frequenciesMhz() },
            load = unknown.unless("load") { kernel.load() },
            allowedCpus = unknown.unless("allowed_cpus") { kernel.allowedCpus() },
            unknown = unknown.reasons,
        )
    }

    override fun processNs(): Long = startedNs

    override fun residentBytes(): Long = kernel.residentBytes()

    override fun mostResidentBytes(): Long = kernel.mostResidentBytes()

    private fun cpus(): Int = try {
        kernel.cpus()
    } catch (_: UnknownException) {
        Runtime.getRuntime().availableProcessors() // without those that sleep
    }

    private fun soc(): String {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.S) throw UnknownException("Android before 12 does not name the chip")
        val words = listOf(Build.SOC_MANUFACTURER, Build.SOC_MODEL).filter { it != Build.UNKNOWN }
        return words.joinToString(" ").ifEmpty { throw UnknownException("the phone's maker did not name the chip") }
    }

    private fun memoryBytes(): Long =
        ActivityManager.MemoryInfo().also { service(ActivityManager::class.java).getMemoryInfo(it) }.totalMem

    private fun thermalStatus(): String {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) throw UnknownException("Android before 10 has no thermal status")
        val status = service(PowerManager::class.java).currentThermalStatus
        return THERMAL_STATUS.getOrElse(status) { "$status" }
    }

    /** The kernel's sensors where an app may read them, and always the battery's. */
    private fun temperatures(): Map<String, Double> {
        val sensors = try {
            kernel.temperaturesC()
        } catch (_: UnknownException) {
            emptyMap()
        }
        val battery = battery().getIntExtra(BatteryManager.EXTRA_TEMPERATURE, UNSAID)
        val found = if (battery == UNSAID) sensors else sensors + ("battery" to battery / 10.0)
        return found.ifEmpty { throw UnknownException("no thermal zone that an app may read, and no battery's") }
    }

    private fun level(): Double {
        val level = battery().getIntExtra(BatteryManager.EXTRA_LEVEL, UNSAID)
        val scale = battery().getIntExtra(BatteryManager.EXTRA_SCALE, UNSAID)
        if (level < 0 || scale <= 0) throw UnknownException("the system does not say how full the battery is")
        return level.toDouble() / scale
    }

    private fun isCharging(): Boolean = when (val status = battery().getIntExtra(BatteryManager.EXTRA_STATUS, UNSAID)) {
        BatteryManager.BATTERY_STATUS_CHARGING, BatteryManager.BATTERY_STATUS_FULL -> true
        BatteryManager.BATTERY_STATUS_DISCHARGING, BatteryManager.BATTERY_STATUS_NOT_CHARGING -> false
        else -> throw UnknownException("battery status $status")
    }

    private fun battery(): Intent = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
        ?: throw UnknownException("no battery")

    private fun <T> service(kind: Class<T>): T = context.getSystemService(kind)

    private fun property(name: String): String = System.getProperty(name) ?: "unknown"

    companion object {
        private val THERMAL_STATUS = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
        private val VIRTUAL = setOf("goldfish", "ranchu", "cutf_cvm", "vsoc_x86_64")
        private const val UNSAID = Int.MIN_VALUE

        /** From the start of this process to now, to the millisecond. */
        fun sinceProcessStart(): Long = 1_000_000 * (SystemClock.elapsedRealtime() - Process.getStartElapsedRealtime())
    }
}
