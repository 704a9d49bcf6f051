package io.squeezebert.edge.demo

import io.squeezebert.edge.Answer
import io.squeezebert.edge.Bundle
import io.squeezebert.edge.CPU
import io.squeezebert.edge.DirectoryFiles
import io.squeezebert.edge.Engine
import io.squeezebert.edge.InputException
import io.squeezebert.edge.OpenedModel
import io.squeezebert.edge.Predictor
import io.squeezebert.edge.Runner
import io.squeezebert.edge.loadOnBest
import java.util.concurrent.Executor

/** What came of asking a bundle. */
sealed interface Outcome {
    /** It is being computed, or waits for that. */
    data object Waiting : Outcome

    /**
     * @property latencyNs of the runtime alone, over all [rows].
     * @property unit what computed it. @property refusals why better units did not, by their names.
     */
    data class Answered(
        val answer: Answer,
        val latencyNs: Long,
        val rows: Int,
        val unit: String = CPU,
        val refusals: Map<String, Throwable> = emptyMap(),
    ) : Outcome

    /** Why there is no answer. */
    data class Failed(val error: Throwable) : Outcome
}

/** A bundle and what came of asking it. */
data class AskedBundle(val bundle: Shelved, val outcome: Outcome)

/** @property texts what was asked last; empty before anything was. */
data class AnswersState(val texts: List<String> = emptyList(), val bundles: List<AskedBundle> = emptyList()) {
    /** Whether an answer is still to come. */
    val isBusy: Boolean
        get() = bundles.any { it.outcome == Outcome.Waiting }
}

/**
 * Asks bundles, one after the other, and keeps them open for the next question. Outlives the screens.
 *
 * @param chip the phone's, which decides what a bundle is opened on; null if it is not known.
 * @param work where models are computed; one thread.
 */
class Answers(
    private val engines: Map<String, Engine>,
    private val chip: String?,
    private val work: Executor,
    post: (() -> Unit) -> Unit,
) {
    val state = Watched(AnswersState(), post)
    private val open = LinkedHashMap<Shelved, OpenBundle>() // touched on the worker's thread only

    /** Has every bundle answer. */
    fun ask(bundles: List<Shelved>, texts: List<String>) {
        state.update { AnswersState(texts, bundles.map { AskedBundle(it, Outcome.Waiting) }) }
        work.execute {
            close(open.keys - bundles.toSet())
            for (bundle in bundles) {
                val outcome = try {
                    open.getOrPut(bundle) { OpenBundle.of(bundle, engines, chip) }.answer(texts)
                } catch (error: Exception) {
                    Outcome.Failed(error)
                } catch (error: LinkageError) { // a runtime whose library is not for this phone
                    Outcome.Failed(error)
                } catch (error: OutOfMemoryError) {
                    Outcome.Failed(error)
                }
                state.update { found -> if (found.texts == texts) found.with(bundle, outcome) else found }
            }
        }
    }

    /** Gives back the memory of open bundles. */
    fun release() = work.execute { close(open.keys.toSet()) }

    private fun close(bundles: Set<Shelved>) = bundles.forEach { open.remove(it)?.opened?.model?.close() }

    private fun AnswersState.with(bundle: Shelved, outcome: Outcome) =
        copy(bundles = bundles.map { if (it.bundle == bundle) it.copy(outcome = outcome) else it })
}

private class OpenBundle(private val predictor: Predictor, val opened: OpenedModel) {
    fun answer(texts: List<String>): Outcome {
        var latencyNs = 0L
        var rows = 0
        val timed = object : Runner {
            override fun run(entryPoint: String, inputs: Map<String, IntArray>): Map<String, FloatArray> {
                val start = System.nanoTime()
                return opened.model.run(entryPoint, inputs).also {
                    latencyNs += System.nanoTime() - start
                    rows++
                }
            }
        }
        val answer = predictor.answer(texts, timed)
        return Outcome.Answered(answer, latencyNs, rows, opened.unit, opened.refusals)
    }

    companion object {
        fun of(shelved: Shelved, engines: Map<String, Engine>, chip: String?): OpenBundle {
            val bundle = Bundle.open(DirectoryFiles(shelved.directory))
            val engine = engineFor(bundle, engines)
            engine.start()
            return OpenBundle(Predictor(bundle), engine.loadOnBest(bundle, chip))
        }
    }
}

/** The engine for a bundle's format, or an InputException with those that there are. */
internal fun engineFor(bundle: Bundle, engines: Map<String, Engine>): Engine = engines[bundle.manifest.format]
    ?: throw InputException("a bundle for ${bundle.manifest.format}", engines.keys.joinToString())
