package io.squeezebert.edge

/** Takes a code point and the place in the text that it came from. */
internal fun interface CodeSink {
    fun code(code: Int, source: Int)
}

/**
 * The canonical ordering of NFD: what stands between two starters is sorted by combining class.
 *
 * Sources are given out as the `tokenizers` library aligns them: in the order in which characters came, one to every
 * code point that led its decomposition; any other code point gets the last one given.
 */
internal class CombiningMarks(private val sink: CodeSink) {
    private val codes = IntList()
    private val leading = IntList()
    private val sources = IntList()
    private var order = LongArray(0)
    private var source = 0

    /** The next code point of a decomposition; [leads] if it is the first there. */
    fun add(code: Int, source: Int, leads: Boolean) {
        if (Unicode.rank(code) == 0) {
            flush()
            give(code, leads, source)
            return
        }
        codes.add(code)
        leading.add(if (leads) 1 else 0)
        if (leads) sources.add(source)
    }

    /** Gives out what waits; a starter, or the end of the text, follows. */
    fun flush() {
        val count = codes.size
        if (count == 0) return
        if (order.size < count) order = LongArray(maxOf(count, 2 * order.size))
        // The place in the low half keeps equal classes in their order.
        for (place in 0 until count) order[place] = Unicode.rank(codes[place]).toLong() shl 32 or place.toLong()
        order.sort(0, count)
        var used = 0
        for (index in 0 until count) {
            val place = order[index].toInt()
            val leads = leading[place] == 1
            give(codes[place], leads, if (leads) sources[used++] else 0)
        }
        codes.clear()
        leading.clear()
        sources.clear()
    }

    private fun give(code: Int, leads: Boolean, source: Int) {
        if (leads) this.source = source
        sink.code(code, this.source)
    }
}
