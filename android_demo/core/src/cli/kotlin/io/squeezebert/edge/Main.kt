package io.squeezebert.edge

import java.io.File
import kotlin.system.exitProcess

private const val USAGE = """usage: tokenize BUNDLE | features BUNDLE | answer BUNDLE | time BUNDLE ROUNDS

Each reads JSON lines on stdin and prints one for each; {"error": …} where a line cannot be answered.
tokenize   {"text", "pair"?, "max_length", "truncate"?: longest, first or second}, or
           {"question", "context", "max_length", "doc_stride"} -> {"rows": [...]}
features   {"texts": [...]}, as for predict -> {"rows": [{"length", "inputs"}]}
answer     {"texts": [...], "outputs": [{name: [...]}, ...]}, flat, one for each row -> the answer
time       texts, one a line, no JSON -> milliseconds of tokenizing them all, ROUNDS times
"""

/** The core on a desktop, as the tests drive it. */
fun main(arguments: Array<String>) {
    val verb = arguments.getOrNull(0)
    if (arguments.size != (if (verb == "time") 3 else 2)) fail(USAGE)
    try {
        val bundle = Bundle.open(DirectoryFiles(File(arguments[1])))
        when (verb) {
            "tokenize" -> bundle.tokenizer().let { tokenizer -> eachLine { tokenize(tokenizer, it) } }
            "features" -> Predictor(bundle).let { predictor -> eachLine { rows(predictor, it) } }
            "answer" -> Predictor(bundle).let { predictor -> eachLine { answer(predictor, it) } }
            "time" -> println(writeJson(milliseconds(bundle.tokenizer(), lines().toList(), arguments[2].toInt())))
            else -> fail(USAGE)
        }
    } catch (error: InputException) {
        fail(error.message.orEmpty())
    }
}

private fun fail(message: String): Nothing {
    System.err.println(message)
    exitProcess(2)
}

private fun lines(): Sequence<String> = System.`in`.bufferedReader(Charsets.UTF_8).lineSequence()

private fun eachLine(answer: (JsonRecord) -> Map<String, Any?>) {
    val out = System.out.writer(Charsets.UTF_8).buffered()
    for (line in lines()) {
        val answered = try {
            answer(JsonRecord.read(line))
        } catch (error: InputException) {
            mapOf("error" to error.message)
        }
        out.write(writeJson(answered))
        out.write("\n")
    }
    out.flush()
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
            val row = outputs.next()
            return row.keys.associateWith { name -> row.numbers(name).map { it.toFloat() }.toFloatArray() }
        }
    }
    return fields(predictor.answer(asked.texts("texts"), runner))
}

/** The fields that `squeezebert-edge predict --json` prints. */
private fun fields(answer: Answer): Map<String, Any?> = when (answer) {
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

private fun milliseconds(tokenizer: Tokenizer, texts: List<String>, rounds: Int): List<Double> = List(rounds) {
    val start = System.nanoTime()
    for (text in texts) tokenizer.encode(text, maxLength = 128)
    (System.nanoTime() - start) / 1e6
}
