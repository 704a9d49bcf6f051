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
import java.io.File
import java.nio.file.Files
import java.security.MessageDigest

/** Bundles as `export` writes them, a model that says "good" to every text, and a phone. */
object TinyBundle {
    private const val MANIFEST = """{
        "schema_version": 1, "source": {"checkpoint": "CHECKPOINT", "sha256": "00"},
        "format": "tflite", "artifact": "model.tflite", "task": "TASK", "problem_type": null,
        "labels": ["bad", "good"], "precision": {"name": "int8", "exact": "int8-dynamic"}, "form": "plain",
        "lengths": [8, 64], "entry_points": {"8": "length_8", "64": "length_64"},
        "inputs": [{"name": "input_ids", "dtype": "int32", "shape": [1, null]},
                   {"name": "attention_mask", "dtype": "int32", "shape": [1, null]}],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": [1, 2]}],
        "tokenizer": {"lower_case": true, "strip_accents": true, "cjk": true, "max_word": 100,
                      "special_tokens": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]",
                                         "mask": "[MASK]"}},
        "verification": {"status": "verified"},
        "files": {"model.tflite": "FIRST", "vocab.txt": "SECOND"}
    }"""

    /** A bundle of this name in a new directory. */
    fun write(name: String = "tiny", task: String = "text-classification"): File {
        val directory = File(newDirectory(), name).apply { mkdirs() }
        val model = "no model".toByteArray()
        val vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nfilm\n.\n".toByteArray()
        val sealed = MANIFEST.replace("FIRST", sha256(model)).replace("SECOND", sha256(vocabulary))
        val manifest = sealed.replace("TASK", task)
        File(directory, "model.tflite").writeBytes(model)
        File(directory, "vocab.txt").writeBytes(vocabulary)
        File(directory, "manifest.json").writeText(manifest)
        File(directory, "manifest.sha256").writeText(sha256(manifest.toByteArray()) + "\n")
        return directory
    }

    fun newDirectory(): File = Files.createTempDirectory("demo").toFile()

    private fun sha256(bytes: ByteArray): String =
        MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
}

/** @property log what was opened, run and closed. */
class TinyEngine(private val logits: FloatArray = floatArrayOf(0f, 2f)) : Engine {
    val log = ArrayList<String>()

    override fun start(): Runtime = Runtime("litert", "0")

    override fun load(bundle: Bundle, settings: Settings): Model {
        log += "open ${settings.threads}"
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
