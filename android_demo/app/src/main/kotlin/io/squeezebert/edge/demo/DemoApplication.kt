package io.squeezebert.edge.demo

import android.app.Application
import android.os.Handler
import android.os.Looper
import io.squeezebert.edge.Engine
import java.io.File
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors

/** What outlives a screen: models, and the work on them. */
class DemoApplication : Application() {
    private val startedNs = AndroidPhone.sinceProcessStart()
    private val main = Handler(Looper.getMainLooper())
    private val post: (() -> Unit) -> Unit = { action -> main.post(action) }

    /** One thread: models are computed one after the other, so that none slows another down. */
    private val work: ExecutorService = Executors.newSingleThreadExecutor { Thread(it, "models") }
    private val facts by lazy { Facts(AndroidPhone(this, startedNs)) }

    /** The phone's chip; null if it is not known. */
    val chip: String? by lazy { facts.chip }
    private val engines: Map<String, Engine> by lazy {
        mapOf(
            "tflite" to LiteRt(BuildConfig.LITERT_VERSION, chip, File(applicationInfo.nativeLibraryDir)),
            "executorch" to ExecuTorch(BuildConfig.EXECUTORCH_VERSION),
        )
    }

    /** Where a computer reaches files through adb; internal files where there is no such storage. */
    private val reachable: List<File>
        get() = listOfNotNull(getExternalFilesDir(null), filesDir)

    val library: Library by lazy { Library(File(filesDir, "bundles"), assets, work, post).also { it.open() } }

    /** Of the first screen, and of that for questions. */
    val answers: Answers by lazy { Answers(engines, chip, work, post) }
    val questions: Answers by lazy { Answers(engines, chip, work, post) }
    val measurements: Measurements by lazy {
        val records = File(reachable.first(), "records")
        Measurements(engines, facts, records, "squeezebert-edge demo ${BuildConfig.VERSION_NAME}", work, post)
    }
    val jobs: Jobs by lazy { Jobs({ reachable }, engines, facts, work, post) }

    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        if (level >= TRIM_MEMORY_BACKGROUND) release()
    }

    /** Closes what is open, so that its memory is free and no measurement counts it. */
    fun release() = listOf(answers, questions).forEach { it.release() }
}
