package io.squeezebert.edge

/** Numbers without a box for each. */
internal class IntList {
    /** The numbers, and behind [size] what does not count. */
    var items: IntArray = IntArray(32)
        private set

    var size: Int = 0
        private set

    fun add(item: Int) {
        if (size == items.size) items = items.copyOf(2 * size)
        items[size++] = item
    }

    operator fun get(index: Int): Int = items[index]

    fun clear() {
        size = 0
    }

    fun toArray(): IntArray = items.copyOf(size)
}
