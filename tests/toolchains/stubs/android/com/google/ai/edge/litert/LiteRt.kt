// What the app may call of LiteRT for Android: signatures from google-ai-edge/LiteRT, of Common.kt, Environment.kt,
// Model.kt and TensorBuffer.kt in litert/kotlin/src/main/kotlin/com/google/ai/edge/litert. The newest
// to be had there is not known to be 2.3.0's.
package com.google.ai.edge.litert

enum class Accelerator(val value: Int) {
    NONE(0),
    CPU(1),
    GPU(2),
    NPU(3),
}

abstract class JniHandle internal constructor() : AutoCloseable {
    final override external fun close()
}

class Environment private constructor() : JniHandle() {
    enum class Option(val value: Int) {
        CompilerPluginLibraryDir(0),
        DispatchLibraryDir(1),
    }

    companion object {
        @JvmOverloads
        @JvmStatic
        external fun create(options: Map<Option, String> = mapOf()): Environment
    }
}

class CompiledModel private constructor() : JniHandle() {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options(internal val accelerators: Set<Accelerator>) {
        constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))

        var cpuOptions: CpuOptions? = null
    }

    external fun createInputBuffer(inputName: String, signature: String = ""): TensorBuffer

    external fun createOutputBuffer(outputName: String, signature: String = ""): TensorBuffer

    external fun run(
        inputs: Map<String, TensorBuffer>,
        outputs: Map<String, TensorBuffer>,
        signature: String = "",
    )

    companion object {
        @JvmOverloads
        @JvmStatic
        external fun create(
            filePath: String,
            options: Options = Options(Accelerator.CPU),
            optionalEnv: Environment? = null,
        ): CompiledModel
    }
}

class TensorBuffer internal constructor() : JniHandle() {
    external fun writeInt(data: IntArray)

    external fun readFloat(): FloatArray
}
