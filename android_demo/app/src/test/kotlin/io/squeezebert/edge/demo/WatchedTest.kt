package io.squeezebert.edge.demo

import org.junit.Assert.assertEquals
import org.junit.Test

class WatchedTest {
    @Test
    fun `a screen that comes later sees the state, and one that left does not`() {
        val posted = ArrayList<() -> Unit>()
        val watched = Watched(1) { posted.add(it) }
        val seen = ArrayList<Int>()
        val watching = watched.watch { seen.add(it) }
        watched.update { it + 1 }
        assertEquals(listOf(1), seen)
        posted.removeAt(0)()
        assertEquals(listOf(1, 2), seen)
        watching.close()
        watched.update { it + 1 }
        posted.removeAt(0)()
        assertEquals(listOf(1, 2), seen)
        assertEquals(3, watched.value)
    }
}
