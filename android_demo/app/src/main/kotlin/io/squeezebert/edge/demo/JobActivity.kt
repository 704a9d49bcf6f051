package io.squeezebert.edge.demo

import android.os.Bundle
import android.util.Log
import android.view.WindowManager
import android.widget.TextView
import io.squeezebert.edge.InputException
import kotlin.system.exitProcess

/**
 * Does a job that a computer left here (docs/app_job.md), and ends. It takes an ID, never a path, and looks for it in
 * the app's own directories, so that whoever may start it can have nothing else done.
 */
class JobActivity : Screen() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.job)
        app.release()
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
    }

    override fun watch() = app.jobs.of(intent.getStringExtra(JOB).orEmpty()).shown { show(it) }

    private fun show(state: JobState) {
        when (state) {
            is JobState.Running -> {
                val stage = state.progress?.let { "${it.stage} ${it.done}" }.orEmpty()
                findViewById<TextView>(R.id.message).text = getString(R.string.job_running, stage)
            }
            is JobState.Ended -> {
                state.error?.let { Log.e(TAG, words.of(it), it.takeIf { it !is InputException }) }
                finishAndRemoveTask()
                if (state.error != null) exitProcess(2) // without a result, whoever asked waits for this process to end
            }
        }
    }

    private companion object {
        const val JOB = "job"
        const val TAG = "squeezebert-edge"
    }
}
