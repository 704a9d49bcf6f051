package io.squeezebert.edge.demo

import io.squeezebert.edge.Bundle
import io.squeezebert.edge.Device
import io.squeezebert.edge.DeviceFacts
import io.squeezebert.edge.Engine
import io.squeezebert.edge.Model
import io.squeezebert.edge.Runtime
import io.squeezebert.edge.Settings
import io.squeezebert.edge.State
import io.squeezebert.edge.UnknownException
import io.squeezebert.edge.now

/**
 * An engine whose models answer the same to every text.
 *
 * @property log what was opened, run and closed. @property refused the kinds of units that it has no library for.
 */
class TinyEngine(private val logits: FloatArray = floatArrayOf(0f, 2f)) : Engine {
    val log = ArrayList<String>()
    var refused = emptyList<String>()

    override fun start(): Runtime = Runtime("litert", "0")

    override fun load(bundle: Bundle, settings: Settings): Model {
        val unit = settings.unit.orEmpty()
        if (unit.substringBefore(':') in refused) throw UnsatisfiedLinkError("no library for $unit")
        log += listOfNotNull("open $unit", settings.threads?.let { "on $it" }).joinToString(" ")
        return object : Model {
            override fun run(entryPoint: String, inputs: Map<String, IntArray>): Map<String, FloatArray> {
                log += "run $entryPoint"
                return mapOf("logits" to logits)
            }

            override fun close() {
                log += "close"
            }
        }
    }
}

/** A phone that says nothing of how it is. */
object TinyPhone : DeviceFacts {
    private const val REASON = "a test's phone"

    override val emulated: Boolean = true

    override fun device(): Device = Device(
        "android", "phone", "Android 15", "aarch64", 1, null, null, null,
        listOf("soc", "clusters", "memory_bytes").associateWith { REASON },
    )

    override fun state(): State {
        val names = listOf(
            "temperatures_c", "thermal_status", "battery", "charging", "low_power_mode", "governors", "frequencies_mhz",
            "load", "allowed_cpus",
        )
        return State(now(), null, null, null, null, null, null, null, null, null, names.associateWith { REASON })
    }

    override fun processNs(): Long = throw UnknownException(REASON)

    override fun residentBytes(): Long = throw UnknownException(REASON)

    override fun mostResidentBytes(): Long = throw UnknownException(REASON)
}
