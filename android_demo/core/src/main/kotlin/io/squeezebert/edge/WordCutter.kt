package io.squeezebert.edge

/** Takes a word: its normalized code points, and the place in the text that each came from. */
internal fun interface WordSink {
    fun word(codes: IntArray, sources: IntArray, count: Int)
}

/**
 * Cuts text into words as BERT does: cleaned, CJK apart, decomposed and rid of accents, lower-cased, parted by white
 * space and punctuation. It equals `BertNormalizer` and `BertPreTokenizer` of the `tokenizers` library, offsets too.
 * One text at a time.
 */
internal class WordCutter(private val flags: TokenizerFlags, private val sink: WordSink) {
    private val codes = IntList()
    private val sources = IntList()
    private val pending = CombiningMarks { code, source -> strip(code, source) }
    private val parts = IntArray(4)

    /** The words of `text[from, to)`, whose first code point is the [first]th of the whole. */
    fun cut(text: String, from: Int, to: Int, first: Int) {
        var index = from
        var source = first
        while (index < to) {
            val code = text.codePointAt(index)
            clean(code, source++)
            index += Character.charCount(code)
        }
        pending.flush()
        endWord()
    }

    private fun clean(code: Int, source: Int) {
        val kind = Unicode.flags(code)
        when {
            kind and Unicode.DROPPED != 0 -> Unit
            kind and Unicode.SPACE != 0 -> decompose(' '.code, source)
            kind and Unicode.CJK != 0 && flags.cjk -> {
                decompose(' '.code, source)
                decompose(code, source)
                decompose(' '.code, source)
            }
            else -> decompose(code, source)
        }
    }

    private fun decompose(code: Int, source: Int) {
        when {
            !flags.stripAccents -> lower(code, source)
            code < Unicode.firstDecomposed -> {
                pending.flush()
                strip(code, source)
            }
            else -> repeat(Unicode.decompose(code, parts)) { pending.add(parts[it], source, leads = it == 0) }
        }
    }

    private fun strip(code: Int, source: Int) {
        if (Unicode.flags(code) and Unicode.MARK == 0) lower(code, source)
    }

    private fun lower(code: Int, source: Int) {
        val row = if (flags.lowerCase) Unicode.lowerCase.rowOf(code) else -1
        if (row < 0) {
            part(code, source)
        } else {
            for (place in 0 until Unicode.lowerCase.count(row)) part(Unicode.lowerCase.target(row, place), source)
        }
    }

    private fun part(code: Int, source: Int) {
        val kind = Unicode.flags(code)
        when {
            kind and Unicode.SPACE != 0 -> endWord()
            kind and Unicode.PUNCTUATION != 0 -> {
                endWord()
                append(code, source)
                endWord()
            }
            else -> append(code, source)
        }
    }

    private fun append(code: Int, source: Int) {
        codes.add(code)
        sources.add(source)
    }

    private fun endWord() {
        if (codes.size == 0) return
        sink.word(codes.items, sources.items, codes.size)
        codes.clear()
        sources.clear()
    }
}
