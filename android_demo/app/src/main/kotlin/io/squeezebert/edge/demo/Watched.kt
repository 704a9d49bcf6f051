package io.squeezebert.edge.demo

import java.io.Closeable
import java.util.concurrent.CopyOnWriteArrayList

/**
 * A state that outlives the screens which show it: set from any thread, told through [post], the main thread in an app.
 * Watchers may miss a state that another replaced at once, never the last.
 */
class Watched<T : Any>(initial: T, private val post: (() -> Unit) -> Unit) {
    private val watchers = CopyOnWriteArrayList<(T) -> Unit>()

    @Volatile
    var value: T = initial
        private set

    /** Puts what [change] makes of the present state in its place. */
    @Synchronized
    fun update(change: (T) -> T) {
        value = change(value)
        post { watchers.forEach { it(value) } }
    }

    /** Tells [watcher] the state now and later ones, until what is given back is closed. Called where [post] runs. */
    fun watch(watcher: (T) -> Unit): Closeable {
        watchers.add(watcher)
        watcher(value)
        return Closeable { watchers.remove(watcher) }
    }
}
