package io.squeezebert.edge.demo

import io.squeezebert.edge.Bundle
import io.squeezebert.edge.DirectoryFiles
import io.squeezebert.edge.Engine
import io.squeezebert.edge.InputException
import io.squeezebert.edge.Model
import io.squeezebert.edge.Runtime
import io.squeezebert.edge.Settings
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.nio.IntBuffer
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.TensorFlowLite

/** `.tflite` bundles, by LiteRT's interpreter with XNNPACK: what ai-edge-litert is in Python. */
class LiteRt(private val version: String) : Engine {
    override fun start(): Runtime {
        TensorFlowLite.init()
        return Runtime("litert", version)
    }

    override fun load(bundle: Bundle, settings: Settings): Model {
        if (settings.delegate != "cpu") throw InputException("delegate ${settings.delegate} with LiteRT", "cpu")
        if (settings.runtime != null) throw InputException("runtime ${settings.runtime} in this app", "null")
        val files = bundle.files as? DirectoryFiles ?: throw InputException("${bundle.files}: not a directory")
        val options = Interpreter.Options().setUseXNNPACK(true)
        settings.threads?.let { options.setNumThreads(it) }
        return LiteRtModel(Interpreter(File(files.directory, bundle.manifest.artifact), options), bundle)
    }
}

private class LiteRtModel(private val interpreter: Interpreter, private val bundle: Bundle) : Model {
    private val buffers = HashMap<String, Buffers>()

    override fun run(entryPoint: String, inputs: Map<String, IntArray>): Map<String, FloatArray> {
        val (given, found) = buffers.getOrPut(entryPoint) { Buffers.of(bundle, inputs.values.first().size) }
        inputs.forEach { (name, values) ->
            val buffer = given.getValue(name)
            buffer.rewind()
            buffer.put(values)
            buffer.rewind()
        }
        found.values.forEach { it.rewind() }
        interpreter.runSignature(given, found, entryPoint)
        return found.mapValues { (_, buffer) ->
            buffer.rewind()
            FloatArray(buffer.remaining()).also { buffer.get(it) }
        }
    }

    override fun close() = interpreter.close()
}

/** Where a signature's inputs and outputs are; direct, so that nothing copies them once more. */
private data class Buffers(val inputs: Map<String, IntBuffer>, val outputs: Map<String, FloatBuffer>) {
    companion object {
        fun of(bundle: Bundle, length: Int): Buffers {
            fun bytes(shape: List<Int?>): ByteBuffer =
                ByteBuffer.allocateDirect(4 * shape.fold(1) { size, part -> size * (part ?: length) })
                    .order(ByteOrder.nativeOrder())
            return Buffers(
                bundle.manifest.inputs.associate { it.name to bytes(it.shape).asIntBuffer() },
                bundle.manifest.outputs.associate { it.name to bytes(it.shape).asFloatBuffer() },
            )
        }
    }
}
