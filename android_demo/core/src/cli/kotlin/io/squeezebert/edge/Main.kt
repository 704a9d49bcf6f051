package io.squeezebert.edge

import java.io.File
import kotlin.system.exitProcess

private const val USAGE = """usage: predict BUNDLE PROGRAM... | job DIRECTORY PROGRAM... | serve | time BUNDLE ROUNDS

predict    {"texts": [...]} a line on stdin -> the answer, as `squeezebert-edge predict --json` has it, a line
job        does the job of a directory, as docs/app_job.md has it
serve      {"verb", "bundle", "lines": [...]} a line on stdin -> {"answers": [...]}; see Requests.kt
time       texts, one a line, no JSON -> milliseconds of tokenizing them all, ROUNDS times

PROGRAM computes, and speaks JSON lines: it says {"name", "version"} of its runtime, is told {"artifact", "threads"},
says {} when that is open, and then to each {"entry_point", "inputs"} the outputs by name, flat.
{"error": ...} stands where something cannot be answered.
"""

/** The core on a desktop. */
fun main(arguments: Array<String>) {
    val (verb, path) = listOf(0, 1).map { arguments.getOrElse(it) { "" } }
    val rest = arguments.drop(2)
    try {
        when {
            verb == "predict" && rest.isNotEmpty() -> predict(open(path), rest)
            verb == "job" && rest.isNotEmpty() -> job(File(path), rest)
            verb == "serve" && path.isEmpty() -> eachLine { serve(it) }
            verb == "time" && rest.size == 1 ->
                println(writeJson(milliseconds(open(path).tokenizer(), lines().toList(), rest[0].toInt())))
            else -> fail(USAGE)
        }
    } catch (error: InputException) {
        fail(error.message.orEmpty())
    }
}

internal fun open(path: String): Bundle = Bundle.open(DirectoryFiles(File(path)))

private fun predict(bundle: Bundle, program: List<String>) {
    val predictor = Predictor(bundle)
    ProgramEngine(program).load(bundle, Settings(threads = 1)).use { model ->
        eachLine { fields(predictor.answer(it.texts("texts"), model)) }
    }
}

private fun job(directory: File, program: List<String>) {
    val engine = ProgramEngine(program)
    runJob(directory, listOf("tflite", "executorch", "coreml").associateWith { engine }, HostFacts)
}

private fun fail(message: String): Nothing {
    System.err.println(message)
    exitProcess(2)
}

private fun lines(): Sequence<String> = System.`in`.bufferedReader(Charsets.UTF_8).lineSequence()

/** Each answer is there before the next line is read, so that whoever asks can wait for it. */
private fun eachLine(answer: (JsonRecord) -> Map<String, Any?>) {
    val out = System.out.writer(Charsets.UTF_8).buffered()
    for (line in lines()) {
        out.write(writeJson(answered { answer(JsonRecord.read(line)) }))
        out.write("\n")
        out.flush()
    }
}

private fun milliseconds(tokenizer: Tokenizer, texts: List<String>, rounds: Int): List<Double> = List(rounds) {
    val start = System.nanoTime()
    for (text in texts) tokenizer.encode(text, maxLength = 128)
    (System.nanoTime() - start) / 1e6
}
