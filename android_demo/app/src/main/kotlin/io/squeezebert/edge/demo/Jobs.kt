package io.squeezebert.edge.demo

import io.squeezebert.edge.DeviceFacts
import io.squeezebert.edge.Engine
import io.squeezebert.edge.Progress
import io.squeezebert.edge.findJob
import io.squeezebert.edge.runJob
import java.io.File
import java.util.concurrent.Executor

/** Where a job of docs/app_job.md is. */
sealed interface JobState {
    /** @property progress null while it waits or checks its bundle. */
    data class Running(val progress: Progress?) : JobState

    /** @property error why no result could be written; null if one was. */
    data class Ended(val error: Throwable?) : JobState
}

/** The jobs of this process, each done once, however often its screen is made anew. */
class Jobs(
    private val directories: () -> List<File>,
    private val engines: Map<String, Engine>,
    private val facts: DeviceFacts,
    private val work: Executor,
    private val post: (() -> Unit) -> Unit,
) {
    private val begun = HashMap<String, Watched<JobState>>()

    /** A job's state; begins it if nothing did. Called on the main thread. */
    fun of(id: String): Watched<JobState> = begun.getOrPut(id) {
        Watched<JobState>(JobState.Running(null), post).also { state -> work.execute { run(id, state) } }
    }

    private fun run(id: String, state: Watched<JobState>) {
        val error = try {
            val show = sparsely { progress -> state.update { JobState.Running(progress) } }
            runJob(findJob(id, directories()), engines, facts, progress = show)
            null
        } catch (error: Exception) { // an ID that is none, or a directory that cannot be written
            error
        }
        state.update { JobState.Ended(error) }
    }
}
