package io.squeezebert.edge.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.os.Build
import android.view.View
import android.view.WindowInsets
import android.widget.TextView
import java.io.Closeable

/** An activity that shows states while it is started, below the system's bars and above the keyboard. */
abstract class Screen : Activity() {
    private val watching = ArrayList<Closeable>()

    protected val app: DemoApplication
        get() = application as DemoApplication

    protected val words: Words
        get() = Words(resources.configuration.locales[0])

    /** Begins to watch what the screen shows. */
    protected abstract fun watch()

    /** Has [show] called with a state now and whenever it changes, until the screen is stopped. */
    protected fun <T : Any> Watched<T>.shown(show: (T) -> Unit) {
        watching.add(watch(show))
    }

    /** Shows a line, or none; an unchanged one is not set again, or a screen reader would repeat it. */
    protected fun TextView.say(line: String?) {
        visibility = if (line == null) View.GONE else View.VISIBLE
        if ("$text" != line.orEmpty()) text = line
    }

    /** Starts another app's activity for a result; says so on [message] where the phone has none. */
    protected fun startOrSay(intent: Intent, request: Int, message: TextView) = try {
        startActivityForResult(intent, request)
    } catch (_: ActivityNotFoundException) {
        message.say(getString(R.string.no_picker))
    }

    override fun setContentView(layout: Int) {
        super.setContentView(layout)
        findViewById<View>(R.id.content).padForBars()
    }

    override fun onStart() {
        super.onStart()
        watch()
    }

    override fun onStop() {
        watching.forEach { it.close() }
        watching.clear()
        super.onStop()
    }

    /** From targetSdk 35 on a window lies under the system's bars; before, the system gives no insets to pad for. */
    private fun View.padForBars() {
        val margin = paddingLeft
        setOnApplyWindowInsetsListener { view, insets ->
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) {
                val types = WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout()
                val bars = insets.getInsets(types or WindowInsets.Type.ime())
                view.setPadding(margin + bars.left, margin + bars.top, margin + bars.right, margin + bars.bottom)
                WindowInsets.CONSUMED
            } else {
                insets
            }
        }
    }
}
