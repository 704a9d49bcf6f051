package io.squeezebert.edge

/** What is shortened at its end when tokens are too many. */
public enum class Truncate {
    /** The longer text first. */
    LONGEST,

    /** Only the first text. */
    FIRST,

    /** Only the second text. */
    SECOND,
}

/**
 * BERT's WordPiece over a vocabulary. Ids, token types and offsets equal those of squeezebert-edge in Python,
 * which are those of the `tokenizers` library.
 *
 * Encoding changes no state, so threads may share one tokenizer.
 *
 * @property vocabulary the words; a word's position is its id.
 * @property flags how text is cut.
 * @throws InputException the vocabulary is empty, doubles a word or lacks a special token.
 */
public class Tokenizer(public val vocabulary: List<String>, public val flags: TokenizerFlags) {
    private val specialIds = specialIds(vocabulary, flags)
    private val wordPiece = WordPiece(vocabulary, id(Role.UNK), flags.maxWord)
    private val specialTokens = SpecialTokens(Role.entries.associate { flags.specialTokens.getValue(it) to id(it) })

    /** The id of a special token. */
    public fun id(role: Role): Int = specialIds.getValue(role)

    /**
     * One text or a pair, as at most [maxLength] tokens, the frame's two or three included.
     *
     * @throws InputException a text is no Unicode, or there is no way to fit it into [maxLength].
     */
    public fun encode(
        text: String,
        pair: String? = null,
        maxLength: Int,
        truncate: Truncate = Truncate.LONGEST,
    ): Encoding {
        val first = pieces(text)
        val second = pair?.let { pieces(it) }
        val counts = Counts(first.size, second?.size ?: 0)
        val kept = counts.within(room(maxLength, second != null), truncate, second != null)
        return framed(first, kept.first, second, 0, kept.second, truncated = kept != counts)
    }

    /**
     * A question with its context, as overlapping windows where the context is too long for one.
     *
     * @param maxLength tokens of a window, the question and the frame included.
     * @param docStride tokens of the context that two neighbouring windows share.
     * @throws InputException the question leaves no room for context, or the overlap leaves no step.
     */
    public fun windows(question: String, context: String, maxLength: Int, docStride: Int): List<Encoding> {
        val first = pieces(question)
        val second = pieces(context)
        val room = room(maxLength, paired = true) - first.size
        if (room < 1) {
            throw InputException(
                "the question's ${first.size} tokens fill a window of $maxLength: no room for context",
                "questions of at most ${maxLength - 4} tokens",
                "shorten the question or take a longer length",
            )
        }
        val many = second.size > room
        if (docStride < 0 || (many && docStride >= room)) {
            throw InputException(
                "a doc_stride of $docStride does not fit windows with room for $room tokens of context",
                "0 to ${room - 1}",
            )
        }
        val step = room - docStride
        // The first window that reaches the context's end is the last one.
        val starts = if (many) 0 until second.size - room + step step step else 0..0
        return starts.map { framed(first, first.size, second, it, minOf(it + room, second.size), many) }
    }

    private fun pieces(text: String): Pieces {
        refuseLoneSurrogates(text)
        val found = Pieces()
        var word = 0
        val cutter = WordCutter(flags) { codes, sources, count ->
            wordPiece.cut(codes, sources, count, word++, found)
        }
        var from = 0 // of what was not cut yet, in UTF-16 and in code points
        var fromCode = 0
        var index = 0
        while (index < text.length) {
            val token = specialTokens.at(text, index)
            if (token == null) {
                index++
                continue
            }
            cutter.cut(text, from, index, fromCode)
            val start = fromCode + text.codePointCount(from, index)
            from = index + token.text.length
            fromCode = start + text.codePointCount(index, from)
            found.add(token.id, start, fromCode, word++)
            index = from
        }
        cutter.cut(text, from, text.length, fromCode)
        return found
    }

    private fun framed(
        first: Pieces,
        firstCount: Int,
        second: Pieces?,
        from: Int,
        to: Int,
        truncated: Boolean,
    ): Encoding {
        val frame = Frame(firstCount + 2 + if (second == null) 0 else to - from + 1)
        frame.special(id(Role.CLS), 0)
        frame.pieces(first, 0, firstCount, 0)
        frame.special(id(Role.SEP), 0)
        if (second != null) {
            frame.pieces(second, from, to, 1)
            frame.special(id(Role.SEP), 1)
        }
        return frame.encoding(truncated)
    }
}

private fun refuseLoneSurrogates(text: String) {
    var index = 0
    while (index < text.length) {
        val unit = text[index]
        val paired = unit.isHighSurrogate() && index + 1 < text.length && text[index + 1].isLowSurrogate()
        if (unit.isSurrogate() && !paired) {
            throw InputException(
                "the text has a lone surrogate, U+%04X, at position %d"
                    .format(java.util.Locale.ROOT, unit.code, text.codePointCount(0, index)),
                "Unicode text",
            )
        }
        index += if (paired) 2 else 1
    }
}

/** Tokens left beside the frame. */
private fun room(maxLength: Int, paired: Boolean): Int {
    val frame = if (paired) 3 else 2
    if (maxLength < frame) {
        throw InputException("a max_length of $maxLength has no room for the special tokens", "at least $frame")
    }
    return maxLength - frame
}

/** Tokens of the first and of the second text. */
private data class Counts(val first: Int, val second: Int) {
    /** How many of each are kept. */
    fun within(room: Int, truncate: Truncate, paired: Boolean): Counts {
        if (truncate == Truncate.SECOND && !paired) {
            throw InputException("a second text is to be truncated, and there is none", "LONGEST or FIRST")
        }
        val excess = first + second - room
        if (excess <= 0) return this
        if (room == 0) return Counts(0, 0) // the library then keeps the frame alone, whatever is to be shortened
        if (truncate == Truncate.LONGEST) return longestFirst(room)
        if (excess >= if (truncate == Truncate.FIRST) first else second) {
            throw InputException(
                "shortening only the ${if (truncate == Truncate.FIRST) "first" else "second"} text cannot bring " +
                    "${first + second} tokens to $room",
                hint = "truncate the longest, or take a longer max_length",
            )
        }
        return if (truncate == Truncate.FIRST) Counts(first - excess, second) else Counts(first, second - excess)
    }

    /** `truncate_encodings` of the library's utils/truncation.rs: an odd token goes to the longer text. */
    private fun longestFirst(room: Int): Counts {
        var short = minOf(first, second)
        var long = if (short > room) short else maxOf(short, room - short)
        if (short + long > room) {
            short = room / 2
            long = room - short
        }
        return if (first <= second) Counts(short, long) else Counts(long, short)
    }
}

/** An encoding that is being put together. */
private class Frame(size: Int) {
    private val ids = IntArray(size)
    private val types = IntArray(size)
    private val starts = IntArray(size)
    private val ends = IntArray(size)
    private val sequences = IntArray(size) { -1 }
    private val words = IntArray(size) { -1 }
    private var next = 0

    fun special(id: Int, type: Int) {
        ids[next] = id
        types[next++] = type
    }

    fun pieces(pieces: Pieces, from: Int, to: Int, sequence: Int) {
        val count = to - from
        pieces.ids.items.copyInto(ids, next, from, to)
        pieces.starts.items.copyInto(starts, next, from, to)
        pieces.ends.items.copyInto(ends, next, from, to)
        pieces.words.items.copyInto(words, next, from, to)
        types.fill(sequence, next, next + count)
        sequences.fill(sequence, next, next + count)
        next += count
    }

    fun encoding(truncated: Boolean) = Encoding(ids, types, starts, ends, sequences, words, truncated)
}
