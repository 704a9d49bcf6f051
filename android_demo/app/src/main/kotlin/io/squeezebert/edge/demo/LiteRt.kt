package io.squeezebert.edge.demo

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.TensorBuffer
import io.squeezebert.edge.Bundle
import io.squeezebert.edge.CPU
import io.squeezebert.edge.CPU_FP16
import io.squeezebert.edge.DirectoryFiles
import io.squeezebert.edge.Engine
import io.squeezebert.edge.GPU
import io.squeezebert.edge.InputException
import io.squeezebert.edge.Model
import io.squeezebert.edge.NPU
import io.squeezebert.edge.Runtime
import io.squeezebert.edge.Settings
import io.squeezebert.edge.filesOf
import java.io.File

/**
 * `.tflite` bundles, by LiteRT's compiled model: with XNNPACK, as ai-edge-litert is in Python, on the GPU, or on the NPU.
 *
 * @param chip the phone's; null if it is not known.
 * @param libraries the directory of the app's native libraries, the NPU's among them.
 */
class LiteRt(private val version: String, private val chip: String?, private val libraries: File) : Engine {
    /** Made with the runtime's libraries, once for all models: it is never closed. */
    private val environment = lazy { Environment.create() }

    /** The same with the libraries of the NPU, which only its models need. */
    private val withNpu = lazy { Environment.create(mapOf(Environment.Option.DispatchLibraryDir to libraries.path)) }

    override fun start(): Runtime {
        environment.value
        return Runtime("litert", version)
    }

    override fun load(bundle: Bundle, settings: Settings): Model {
        if (settings.runtime != null) throw InputException("runtime ${settings.runtime} in this app", "null")
        val files = bundle.files as? DirectoryFiles ?: throw InputException("${bundle.files}: not a directory")
        val options = optionsOf(settings)
        val names = bundle.manifest.filesOf(settings.unit)
        val isNpu = settings.unit.orEmpty().startsWith(NPU)
        if (isNpu) requireNpu(settings.unit.orEmpty())
        val environment = (if (isNpu) withNpu else environment).value
        val opened = LinkedHashMap<String, CompiledModel>()
        try {
            for (name in names.values.distinct()) {
                opened[name] = CompiledModel.create(File(files.directory, name).path, options, environment)
            }
        } catch (error: Throwable) {
            opened.values.forEach { it.close() }
            throw error
        }
        val models = names.entries.associate { (length, name) ->
            bundle.manifest.entryPoints.getValue(length) to opened.getValue(name)
        }
        return LiteRtModel(models, bundle)
    }

    /** Refuses what LiteRT would say less of: another phone's file, or an app without the NPU's libraries. */
    private fun requireNpu(unit: String) {
        if (!unit.equals(NPU + chip, ignoreCase = true)) {
            throw InputException("a file of $unit on a phone with the chip ${chip ?: "that is not known"}")
        }
        if (libraries.list().orEmpty().none { it.startsWith("libLiteRtDispatch_") }) {
            throw InputException(
                "no libLiteRtDispatch_*.so in $libraries",
                "an app that was built with the libraries of the NPU",
                "android_demo/README.md has where they come from",
            )
        }
    }
}

/**
 * What LiteRT is asked for: one unit alone. With the GPU it refuses a model of which the CPU would compute a part, and a
 * file that is compiled for an NPU has nothing in it that the CPU could compute.
 *
 * @throws InputException a unit that it does not have, or threads for another than the CPU.
 */
internal fun optionsOf(settings: Settings): CompiledModel.Options {
    val accelerator = acceleratorOf(settings.unit)
    if (accelerator != Accelerator.CPU && settings.threads != null) {
        throw InputException("threads ${settings.threads} with unit ${settings.unit}", "null")
    }
    return CompiledModel.Options(accelerator).apply {
        if (accelerator == Accelerator.CPU) {
            cpuOptions = if (settings.unit == CPU_FP16) {
                CompiledModel.CpuOptions(numThreads = settings.threads, xnnPackFlags = FLOAT16_FLAGS)
            } else {
                // The cache in memory packs weights once for all signatures, not once for each. Over weights that are
                // rounded to float16 for it, it ends the process.
                CompiledModel.CpuOptions(numThreads = settings.threads, xnnPackWeightCachePath = ":memory")
            }
        }
    }
}

/** Of XNNPACK: its default flags, for 8 bits signed and not, and FORCE_FP16. */
private const val FLOAT16_FLAGS = 1 or 2 or 4

/** LiteRT's name of a unit. */
internal fun acceleratorOf(unit: String?): Accelerator = when {
    unit == CPU || unit == CPU_FP16 -> Accelerator.CPU
    unit == GPU -> Accelerator.GPU
    unit != null && unit.startsWith(NPU) -> Accelerator.NPU
    else -> throw InputException("unit $unit with LiteRT", "cpu, cpu-fp16, gpu, or npu: and the chip")
}

/** @property models the model that has each signature; one has several, or each has one. */
private class LiteRtModel(private val models: Map<String, CompiledModel>, private val bundle: Bundle) : Model {
    private val buffers = HashMap<String, Buffers>()

    override fun run(entryPoint: String, inputs: Map<String, IntArray>): Map<String, FloatArray> {
        val model = models.getValue(entryPoint)
        val (given, found) = buffers.getOrPut(entryPoint) { buffersOf(model, entryPoint) }
        inputs.forEach { (name, values) -> given.getValue(name).writeInt(values) }
        model.run(given, found, entryPoint)
        return found.mapValues { (_, buffer) -> buffer.readFloat() }
    }

    override fun close() {
        buffers.values.forEach { it.close() }
        models.values.distinct().forEach { it.close() }
    }

    private fun buffersOf(model: CompiledModel, signature: String) = Buffers(
        bundle.manifest.inputs.associate { it.name to model.createInputBuffer(it.name, signature) },
        bundle.manifest.outputs.associate { it.name to model.createOutputBuffer(it.name, signature) },
    )
}

/** Where a signature's inputs and outputs are. */
private data class Buffers(val inputs: Map<String, TensorBuffer>, val outputs: Map<String, TensorBuffer>) {
    fun close() = (inputs.values + outputs.values).forEach { it.close() }
}
