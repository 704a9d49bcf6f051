package io.squeezebert.edge

/**
 * What an artifact says of itself, as it was exported.
 *
 * @property metadata texts by name: a name as it is, everything else as JSON.
 * @property entryPoints the method or signature of each length.
 */
internal class Description(val metadata: Map<String, String>, val entryPoints: Map<String, String>)

/**
 * Reads what an artifact says of itself, without its runtime.
 *
 * @param format the manifest's.
 * @return null where nothing can be read: a format that no Android app runs, or what is no artifact, which the runtime
 *     refuses.
 */
internal fun describe(format: String, file: PieceReader): Description? = try {
    when (format) {
        "tflite" -> describeModel(Table.root(file, "TFL3"))
        "executorch" -> describeProgram(Table.root(file, "ET"))
        else -> null
    }
} catch (_: InputException) {
    null
}

/** LiteRT's: an entry of the model's metadata, and its signatures (schema.fbs of LiteRT). */
private fun describeModel(model: Table): Description {
    val entry = model.tables(MODEL_METADATA).associateBy { it.name(METADATA_NAME) }["squeezebert_edge"]
    val buffer = entry?.let { model.table(MODEL_BUFFERS, it.number(METADATA_BUFFER)) }
    return description(buffer?.data(BUFFER_DATA), model.tables(MODEL_SIGNATURES).map { it.name(SIGNATURE_KEY) })
}

/** ExecuTorch's: what the method `metadata` returns, and the other methods (program.fbs of ExecuTorch). */
private fun describeProgram(program: Table): Description {
    val plans = program.tables(PROGRAM_PLANS).associateBy { it.name(PLAN_NAME) }
    val answer = plans["metadata"]?.let { plan ->
        val value = plan.first(PLAN_OUTPUTS)?.let { plan.table(PLAN_VALUES, it) }
        value?.takeIf { it.kind(VALUE_KIND) == STRING }?.table(VALUE)
    }
    return description(answer?.data(STRING_TEXT), plans.keys)
}

private fun description(metadata: ByteArray?, names: Collection<String>): Description {
    val said = JsonRecord.read(metadata?.let { readUtf8(it, "the metadata") } ?: "{}")
    val points = names.mapNotNull { ENTRY_POINT.matchEntire(it) }.associate { it.groupValues[1] to it.value }
    return Description(said.keys.associateWith { said.text(it) }, points)
}

private val ENTRY_POINT = Regex("length_([0-9]+)")

// Fields by number: of LiteRT's Model, Metadata, Buffer and SignatureDef,
private const val MODEL_BUFFERS = 4
private const val MODEL_METADATA = 6
private const val MODEL_SIGNATURES = 7
private const val METADATA_NAME = 0
private const val METADATA_BUFFER = 1
private const val BUFFER_DATA = 0
private const val SIGNATURE_KEY = 2

// and of ExecuTorch's Program, ExecutionPlan, EValue and String, and one of its KernelTypes.
private const val PROGRAM_PLANS = 1
private const val PLAN_NAME = 0
private const val PLAN_VALUES = 2
private const val PLAN_OUTPUTS = 4
private const val VALUE_KIND = 0
private const val VALUE = 1
private const val STRING_TEXT = 0
private const val STRING = 6
