package io.squeezebert.edge

import java.io.File

/**
 * What tests/demos/test_android_core.py asks, many lines at a time, for a JVM is slow to start:
 *
 *     tokenize   {"text", "pair"?, "max_length", "truncate"?: longest, first or second}, or
 *                {"question", "context", "max_length", "doc_stride"} -> {"rows": [...]}
 *     features   {"texts": [...]}, as for predict -> {"rows": [{"length", "inputs"}]}
 *     answer     {"texts": [...], "outputs": [{name: [...]}, ...]}, flat, one for each row -> the answer
 *     units      {} -> {"units": {unit: {"files", "verification"}}}
 *     describe   {"format", "artifact"} -> {"metadata", "entry_points"}, {} where nothing can be read; of no bundle
 *     record     a record of a measurement -> the same as it was read and checked; of no bundle
 */
internal fun serve(request: JsonRecord): Map<String, Any?> {
    val answer: (JsonRecord) -> Map<String, Any?> = when (val verb = request.text("verb")) {
        "tokenize" -> open(request.text("bundle")).tokenizer().let { tokenizer -> { tokenize(tokenizer, it) } }
        "features" -> Predictor(open(request.text("bundle"))).let { predictor -> { rows(predictor, it) } }
        "answer" -> Predictor(open(request.text("bundle"))).let { predictor -> { answer(predictor, it) } }
        "units" -> open(request.text("bundle")).manifest.units.let { units -> { _ -> mapOf("units" to fields(units)) } }
        "describe" -> { line -> describe(line) }
        "record" -> { line -> line.whole { toRecord() }.toJson() }
        else -> throw InputException("\"$verb\"", "tokenize, features, answer, units, describe, record")
    }
    return mapOf("answers" to request.records("lines").map { answered { answer(it) } })
}

/** An answer, or why there is none. */
internal fun answered(answer: () -> Map<String, Any?>): Map<String, Any?> = try {
    answer()
} catch (error: InputException) {
    mapOf("error" to error.message)
}

private fun tokenize(tokenizer: Tokenizer, asked: JsonRecord): Map<String, Any?> {
    val length = asked.integer("max_length")
    val encodings = if ("question" in asked.keys) {
        tokenizer.windows(asked.text("question"), asked.text("context"), length, asked.integer("doc_stride"))
    } else {
        val truncate = Truncate.entries[TRUNCATE.indexOf(asked.optionalText("truncate") ?: TRUNCATE[0])]
        listOf(tokenizer.encode(asked.text("text"), asked.optionalText("pair"), length, truncate))
    }
    return mapOf("rows" to encodings.map { fields(it) })
}

private fun fields(units: Map<String, UnitRecord>): Map<String, Any?> = units.mapValues { (_, unit) ->
    mapOf("files" to unit.files.mapKeys { "${it.key}" }, "verification" to mapOf("status" to unit.verification))
}

private fun describe(asked: JsonRecord): Map<String, Any?> {
    val file = File(asked.text("artifact"))
    val pieces = PieceReader(DirectoryFiles(file.parentFile), file.name, file.length())
    val said = describe(asked.text("format"), pieces) ?: return emptyMap()
    return mapOf("metadata" to said.metadata, "entry_points" to said.entryPoints)
}

private val TRUNCATE = listOf("longest", "first", "second")

private fun fields(encoding: Encoding): Map<String, Any?> = mapOf(
    "ids" to encoding.ids,
    "token_types" to encoding.tokenTypes,
    "starts" to encoding.starts,
    "ends" to encoding.ends,
    "sequences" to encoding.sequences,
    "words" to encoding.words,
    "truncated" to encoding.truncated,
)

private fun rows(predictor: Predictor, asked: JsonRecord): Map<String, Any?> {
    val rows = predictor.encode(asked.texts("texts")).map { encoding ->
        predictor.prepare(encoding).let { mapOf("length" to it.length, "inputs" to it.inputs) }
    }
    return mapOf("rows" to rows)
}

/** Answers with outputs that were computed elsewhere. */
private fun answer(predictor: Predictor, asked: JsonRecord): Map<String, Any?> {
    val outputs = asked.records("outputs").iterator()
    val runner = object : Runner {
        override fun run(entryPoint: String, inputs: Map<String, IntArray>): Map<String, FloatArray> {
            if (!outputs.hasNext()) throw InputException("fewer outputs than rows")
            return outputs.next().floatsByKey()
        }
    }
    return fields(predictor.answer(asked.texts("texts"), runner))
}

internal fun JsonRecord.floatsByKey(): Map<String, FloatArray> =
    keys.associateWith { name -> numbers(name).map { it.toFloat() }.toFloatArray() }

/** The fields that `squeezebert-edge predict --json` prints. */
internal fun fields(answer: Answer): Map<String, Any?> = when (answer) {
    is LabelAnswer -> mapOf("label" to answer.label, "score" to answer.score, "scores" to answer.scores)
    is LabelsAnswer -> mapOf("labels" to answer.labels, "scores" to answer.scores)
    is NumberAnswer -> mapOf("value" to (answer.values.singleOrNull() ?: answer.values))
    is ChoiceAnswer -> mapOf("choice" to answer.choice, "ending" to answer.ending, "scores" to answer.scores)
    is WordsAnswer -> mapOf("words" to answer.words.map { fields(it) })
    is SpanAnswer -> span(answer.start, answer.end) + mapOf("answer" to answer.text, "score" to answer.score)
    is MasksAnswer -> mapOf("masks" to answer.masks.map { fields(it) })
    is FeaturesAnswer -> mapOf("tokens" to answer.tokens) + answer.outputs
}

private fun fields(word: TaggedWord): Map<String, Any?> =
    span(word.start, word.end) + mapOf("word" to word.word, "label" to word.label, "score" to word.score)

private fun fields(mask: Mask): Map<String, Any?> =
    span(mask.start, mask.end) +
        mapOf("candidates" to mask.candidates.map { mapOf("token" to it.token, "score" to it.score) })

private fun span(start: Int, end: Int): Map<String, Any?> = mapOf("start" to start, "end" to end)
