package io.squeezebert.edge

/** One text's tokens without the frame: ids, places in the text (code points) and words. */
internal class Pieces {
    val ids = IntList()
    val starts = IntList()
    val ends = IntList()
    val words = IntList()

    val size: Int
        get() = ids.size

    fun add(id: Int, start: Int, end: Int, word: Int) {
        ids.add(id)
        starts.add(start)
        ends.add(end)
        words.add(word)
    }
}

/** Cuts words into the longest pieces of a vocabulary, from the left. */
internal class WordPiece(vocabulary: List<String>, private val unknown: Int, private val maxWord: Int) {
    private val trie = Trie()
    private val first = trie.newNode()
    private val inside = trie.newNode()

    init {
        vocabulary.forEachIndexed { id, word ->
            // No word starts with ##: that is punctuation, and so two words.
            if (word.startsWith(CONTINUES)) {
                trie.add(inside, word, CONTINUES.length, id)
            } else {
                trie.add(first, word, 0, id)
            }
        }
    }

    /** The pieces of a word, or the unknown token for it whole. */
    fun cut(codes: IntArray, sources: IntArray, count: Int, word: Int, into: Pieces) {
        val found = if (count > maxWord) null else longestPieces(codes, count)
        if (found == null) {
            into.add(unknown, sources[0], sources[count - 1] + 1, word)
            return
        }
        var start = 0
        for (index in 0 until found.size step 2) {
            val end = found[index + 1]
            into.add(found[index], sources[start], sources[end - 1] + 1, word)
            start = end
        }
    }

    /** Ids and ends of the pieces, in turn; null if some place has none. */
    private fun longestPieces(codes: IntArray, count: Int): IntList? {
        val found = IntList()
        var start = 0
        while (start < count) {
            var node = if (start == 0) first else inside
            var best = -1
            var bestEnd = start
            var end = start
            while (end < count) {
                node = trie.step(node, codes[end++])
                if (node < 0) break
                if (trie.word(node) >= 0) {
                    best = trie.word(node)
                    bestEnd = end
                }
            }
            if (best < 0) return null
            found.add(best)
            found.add(bestEnd)
            start = bestEnd
        }
        return found
    }

    private companion object {
        const val CONTINUES = "##"
    }
}

/** Words by code points, all nodes in one hash table, so that a look-up makes no object. */
private class Trie {
    private var edges = LongArray(1 shl 12) { EMPTY } // node and code point
    private var targets = IntArray(edges.size)
    private val words = IntList()

    fun newNode(): Int = words.size.also { words.add(-1) }

    /** Adds `word[from, …)`. */
    fun add(root: Int, word: String, from: Int, id: Int) {
        var node = root
        var index = from
        while (index < word.length) {
            val code = word.codePointAt(index)
            index += Character.charCount(code)
            var slot = slot(edge(node, code))
            if (edges[slot] == EMPTY) {
                if (2 * words.size > edges.size) grow()
                slot = slot(edge(node, code))
                edges[slot] = edge(node, code)
                targets[slot] = newNode()
            }
            node = targets[slot]
        }
        words.items[node] = id
    }

    /** The node that [code] leads to; -1 if none. */
    fun step(node: Int, code: Int): Int {
        val slot = slot(edge(node, code))
        return if (edges[slot] == EMPTY) -1 else targets[slot]
    }

    /** The id of the word that ends here; -1 if none does. */
    fun word(node: Int): Int = words[node]

    private fun edge(node: Int, code: Int): Long = node.toLong() shl 21 or code.toLong()

    /** Where an edge is, or would be. */
    private fun slot(edge: Long): Int {
        val mask = edges.size - 1
        val mixed = edge * GOLDEN
        var slot = (mixed ushr 32).toInt() and mask
        while (edges[slot] != EMPTY && edges[slot] != edge) slot = slot + 1 and mask
        return slot
    }

    private fun grow() {
        val oldEdges = edges
        val oldTargets = targets
        edges = LongArray(2 * oldEdges.size) { EMPTY }
        targets = IntArray(edges.size)
        for (old in oldEdges.indices) {
            if (oldEdges[old] == EMPTY) continue
            val slot = slot(oldEdges[old])
            edges[slot] = oldEdges[old]
            targets[slot] = oldTargets[old]
        }
    }

    private companion object {
        const val EMPTY = -1L
        const val GOLDEN = -0x61c8864680b583ebL // 2^64 over the golden ratio: Fibonacci hashing
    }
}
