package io.squeezebert.edge

/** A token as it is written, and its row of the vocabulary. */
internal class SpecialToken(val text: String, val id: Int)

/** Finds special tokens that are written in a text; of several at one place the longest. */
internal class SpecialTokens(ids: Map<String, Int>) {
    private val longestFirst = ids.map { SpecialToken(it.key, it.value) }.sortedByDescending { it.text.length }
    private val initials = longestFirst.map { it.text[0] }.distinct().joinToString("")

    /** The token that stands at [index]; null if none does. */
    fun at(text: String, index: Int): SpecialToken? {
        if (initials.indexOf(text[index]) < 0) return null
        return longestFirst.firstOrNull { text.startsWith(it.text, index) }
    }
}
