package io.squeezebert.edge

/** A bundle's artifact in a runtime: the one thing that an app adds to this library. */
public interface Runner {
    /**
     * Computes one row.
     *
     * @param entryPoint the method or signature that serves this row's length.
     * @param inputs in the artifact's order, each (1, length) of int32.
     * @return the outputs by name, flat, as float32.
     */
    public fun run(entryPoint: String, inputs: Map<String, IntArray>): Map<String, FloatArray>
}

/**
 * One row, ready for an artifact.
 *
 * @property length of the row with its padding.
 * @property inputs by name, in the artifact's order, each (1, [length]) of int32.
 */
public class Query(public val length: Int, public val inputs: Map<String, IntArray>)

/** Answers texts with a bundle, each row at the shortest length that fits. */
public class Predictor(bundle: Bundle) {
    private val manifest = bundle.manifest
    private val tokenizer = bundle.tokenizer()
    private val task = bundle.task()

    /**
     * The rows of what a user wrote: a text, a pair, a question and its context, or a prompt and its endings.
     *
     * @throws InputException the texts are not this task's, or cannot be encoded.
     */
    public fun encode(texts: List<String>, docStride: Int = Task.DEFAULT_DOC_STRIDE): List<Encoding> =
        task.encode(task.ask(texts), tokenizer, manifest.lengths.last(), docStride)

    /** A row at the shortest length that fits. */
    public fun prepare(encoding: Encoding): Query {
        val length = shortestLength(encoding.size, manifest.lengths)
        return Query(length, features(encoding, length, tokenizer.id(Role.PAD), manifest.inputs))
    }

    /**
     * The answer to what a user wrote.
     *
     * @throws InputException the texts are not this task's, or the runner gave other outputs than its.
     */
    public fun answer(texts: List<String>, runner: Runner, docStride: Int = Task.DEFAULT_DOC_STRIDE): Answer {
        val rows = encode(texts, docStride).map { encoding ->
            val query = prepare(encoding)
            val outputs = runner.run(manifest.entryPoints.getValue(query.length), query.inputs)
            task.row(encoding, outputs, query.length)
        }
        return task.answer(task.ask(texts), rows, tokenizer)
    }
}
