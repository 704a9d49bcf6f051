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
import io.squeezebert.edge.UnknownException

/** What Android says of the phone. */
class AndroidPhone(private val context: Context, override val startedNs: Long) : Phone {
    override val name: String
        get() = "${Build.MANUFACTURER} ${Build.MODEL}"

    override val os: String
        get() = "Android ${Build.VERSION.RELEASE}, API level ${Build.VERSION.SDK_INT}, Linux ${property("os.version")}"

    override val architecture: String
        get() = property("os.arch")

    override val abis: List<String>
        get() = Build.SUPPORTED_ABIS.toList()

    override val isVirtual: Boolean
        get() = Build.HARDWARE in setOf("goldfish", "ranchu", "cutf_cvm", "vsoc_x86_64")

    override fun soc(): String {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.S) throw UnknownException("before Android 12 it has no name")
        val words = listOf(Build.SOC_MANUFACTURER, Build.SOC_MODEL).filter { it != Build.UNKNOWN }
        return words.joinToString(" ").ifEmpty { throw UnknownException("the phone's maker did not name the chip") }
    }

    override fun chip(): String {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.S) throw UnknownException("before Android 12 it has no name")
        return Build.SOC_MODEL.takeIf { it != Build.UNKNOWN } ?: throw UnknownException("its maker did not name the chip")
    }

    override fun memoryBytes(): Long =
        ActivityManager.MemoryInfo().also { service(ActivityManager::class.java).getMemoryInfo(it) }.totalMem

    override fun thermalStatus(): Int {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) throw UnknownException("Android has it since version 10")
        return service(PowerManager::class.java).currentThermalStatus
    }

    override fun batteryC(): Double = ofBattery(BatteryManager.EXTRA_TEMPERATURE) / 10.0

    override fun battery(): Double {
        val scale = ofBattery(BatteryManager.EXTRA_SCALE)
        if (scale <= 0) throw UnknownException("a battery's scale of $scale")
        return ofBattery(BatteryManager.EXTRA_LEVEL).toDouble() / scale
    }

    override fun isCharging(): Boolean = when (val status = ofBattery(BatteryManager.EXTRA_STATUS)) {
        BatteryManager.BATTERY_STATUS_CHARGING, BatteryManager.BATTERY_STATUS_FULL -> true
        BatteryManager.BATTERY_STATUS_DISCHARGING, BatteryManager.BATTERY_STATUS_NOT_CHARGING -> false
        else -> throw UnknownException("battery status $status")
    }

    override fun isPowerSaving(): Boolean = service(PowerManager::class.java).isPowerSaveMode

    private fun ofBattery(extra: String): Int {
        val said: Intent = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
            ?: throw UnknownException("the system does not speak of a battery")
        if (!said.hasExtra(extra)) throw UnknownException("the system does not say the battery's $extra")
        return said.getIntExtra(extra, 0)
    }

    private fun <T> service(kind: Class<T>): T = context.getSystemService(kind)

    private fun property(name: String): String = System.getProperty(name) ?: "unknown"

    companion object {
        /** From the start of this process to now, to the millisecond. */
        fun sinceProcessStart(): Long = 1_000_000 * (SystemClock.elapsedRealtime() - Process.getStartElapsedRealtime())
    }
}
