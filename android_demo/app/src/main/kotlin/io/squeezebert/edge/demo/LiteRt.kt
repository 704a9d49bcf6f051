package io.squeezebert.edge.demo

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.TensorBuffer
import io.squeezebert.edge.Bundle
import io.squeezebert.edge.DirectoryFiles
import io.squeezebert.edge.Engine
import io.squeezebert.edge.InputException
import io.squeezebert.edge.Model
import io.squeezebert.edge.Runtime
import io.squeezebert.edge.Settings
import java.io.File

/** `.tflite` bundles, by LiteRT's compiled model: with XNNPACK, as ai-edge-litert is in Python, or on the GPU. */
class LiteRt(private val version: String) : Engine {
    /** Made with the runtime's libraries, once for all models: it is never closed. */
    private val environment = lazy { Environment.create() }

    override fun start(): Runtime {
        environment.value
        return Runtime("litert", version)
    }

    override fun load(bundle: Bundle, settings: Settings): Model {
        if (settings.runtime != null) throw InputException("runtime ${settings.runtime} in this app", "null")
        val files = bundle.files as? DirectoryFiles ?: throw InputException("${bundle.files}: not a directory")
        val options = optionsOf(settings)
        val path = File(files.directory, bundle.manifest.artifact).path
        return LiteRtModel(CompiledModel.create(path, options, environment.value), bundle)
    }
}

/**
 * What LiteRT is asked for. With the GPU alone it refuses a model of which the CPU would compute a part.
 *
 * @throws InputException a delegate that it does not have, or threads for the GPU.
 */
internal fun optionsOf(settings: Settings): CompiledModel.Options = when (settings.delegate) {
    "cpu" -> CompiledModel.Options(Accelerator.CPU).apply {
        // The cache in memory packs weights once for all signatures, not once for each.
        cpuOptions = CompiledModel.CpuOptions(numThreads = settings.threads, xnnPackWeightCachePath = ":memory")
    }
    "gpu" -> {
        if (settings.threads != null) throw InputException("threads ${settings.threads} with delegate gpu", "null")
        CompiledModel.Options(Accelerator.GPU)
    }
    else -> throw InputException("delegate ${settings.delegate} with LiteRT", "cpu or gpu")
}

private class LiteRtModel(private val model: CompiledModel, private val bundle: Bundle) : Model {
    private val buffers = HashMap<String, Buffers>()

    override fun run(entryPoint: String, inputs: Map<String, IntArray>): Map<String, FloatArray> {
        val (given, found) = buffers.getOrPut(entryPoint) { buffersOf(entryPoint) }
        inputs.forEach { (name, values) -> given.getValue(name).writeInt(values) }
        model.run(given, found, entryPoint)
        return found.mapValues { (_, buffer) -> buffer.readFloat() }
    }

    override fun close() {
        buffers.values.forEach { it.close() }
        model.close()
    }

    private fun buffersOf(signature: String) = Buffers(
        bundle.manifest.inputs.associate { it.name to model.createInputBuffer(it.name, signature) },
        bundle.manifest.outputs.associate { it.name to model.createOutputBuffer(it.name, signature) },
    )
}

/** Where a signature's inputs and outputs are. */
private data class Buffers(val inputs: Map<String, TensorBuffer>, val outputs: Map<String, TensorBuffer>) {
    fun close() = (inputs.values + outputs.values).forEach { it.close() }
}
