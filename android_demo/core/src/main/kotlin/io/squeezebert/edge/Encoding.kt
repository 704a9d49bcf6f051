package io.squeezebert.edge

/**
 * One text or pair, framed as `[CLS] first [SEP] second [SEP]`; every array has one entry per token.
 *
 * @property ids rows of the vocabulary.
 * @property tokenTypes 0 for the first text and its [CLS] and [SEP], 1 for the second and its [SEP].
 * @property starts where in its text the token starts, in code points (see [utf16Index]); 0 for the frame.
 * @property ends where it ends; 0 for the frame.
 * @property sequences 0 first text, 1 second text, -1 for the frame.
 * @property words the token's word in its text, counted from 0; -1 for the frame.
 * @property truncated not all of the text is here.
 */
public class Encoding internal constructor(
    public val ids: IntArray,
    public val tokenTypes: IntArray,
    public val starts: IntArray,
    public val ends: IntArray,
    public val sequences: IntArray,
    public val words: IntArray,
    public val truncated: Boolean,
) {
    /** How many tokens there are, the frame's included. */
    public val size: Int
        get() = ids.size
}

/** The index in this string's UTF-16, which Android's views count in, of a place counted in code points. */
public fun String.utf16Index(codePoints: Int): Int = offsetByCodePoints(0, codePoints)

/** What stands between two places counted in code points. */
public fun String.between(start: Int, end: Int): String {
    val from = utf16Index(start)
    return substring(from, offsetByCodePoints(from, end - start))
}
