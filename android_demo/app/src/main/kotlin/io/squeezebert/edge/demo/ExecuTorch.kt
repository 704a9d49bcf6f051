package io.squeezebert.edge.demo

import io.squeezebert.edge.Bundle
import io.squeezebert.edge.CPU
import io.squeezebert.edge.DirectoryFiles
import io.squeezebert.edge.Engine
import io.squeezebert.edge.InputException
import io.squeezebert.edge.Model
import io.squeezebert.edge.Runtime
import io.squeezebert.edge.Settings
import java.io.File
import org.pytorch.executorch.EValue
import org.pytorch.executorch.ExecuTorchRuntime
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** `.pte` bundles, by ExecuTorch with the backends that they were lowered to. */
class ExecuTorch(private val version: String) : Engine {
    override fun start(): Runtime {
        ExecuTorchRuntime.getRuntime()
        return Runtime("executorch", version)
    }

    override fun load(bundle: Bundle, settings: Settings): Model {
        if (settings.unit != CPU) throw InputException("unit ${settings.unit} with ExecuTorch", CPU)
        if (settings.runtime != null) throw InputException("runtime ${settings.runtime} in this app", "null")
        val files = bundle.files as? DirectoryFiles ?: throw InputException("${bundle.files}: not a directory")
        val path = File(files.directory, bundle.manifest.artifact).path
        val module = Module.load(path, Module.LOAD_MODE_MMAP, settings.threads ?: 0) // 0 leaves it to ExecuTorch
        return ExecuTorchModel(module, bundle)
    }
}

private class ExecuTorchModel(private val module: Module, private val bundle: Bundle) : Model {
    // A method's inputs and outputs have no names: both are in the manifest's order.
    override fun run(entryPoint: String, inputs: Map<String, IntArray>): Map<String, FloatArray> {
        val given = bundle.manifest.inputs.map {
            val values = inputs.getValue(it.name)
            EValue.from(Tensor.fromBlob(values, longArrayOf(1, values.size.toLong())))
        }
        val found = module.execute(entryPoint, *given.toTypedArray())
        return bundle.manifest.outputs.withIndex().associate { (place, output) ->
            output.name to found[place].toTensor().dataAsFloatArray
        }
    }

    override fun close() = module.destroy()
}
