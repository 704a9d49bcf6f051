package io.squeezebert.edge

/** White_Space of Unicode, which is trimmed from the end of a line of vocab.txt. */
private const val WHITE_SPACE =
    "\t\n\u000b\u000c\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a" +
        "\u2028\u2029\u202f\u205f\u3000"

/**
 * The words of a vocab.txt: line n, counted from 0, is the word with id n.
 *
 * @throws InputException it is empty, or starts with a byte order mark.
 */
internal fun vocabularyOf(text: String): List<String> {
    if (text.isEmpty()) throw InputException("vocab.txt is empty", "one word a line")
    if (text.startsWith('\ufeff')) {
        throw InputException("vocab.txt starts with a byte order mark", hint = "save it as UTF-8 without one")
    }
    return text.removeSuffix("\n").split('\n').map { it.trimEnd { character -> character in WHITE_SPACE } }
}

/**
 * The id of each special token.
 *
 * @throws InputException a word is there twice or has a line break, or a special token is missing.
 */
internal fun specialIds(words: List<String>, flags: TokenizerFlags): Map<Role, Int> {
    val ids = HashMap<String, Int>(2 * words.size)
    words.forEachIndexed { id, word ->
        if ('\r' in word || '\n' in word) {
            throw InputException("line ${id + 1} of the vocabulary has a line break within", "lines that end with LF")
        }
        val before = ids.put(word, id)
        if (before != null) {
            throw InputException(
                "the vocabulary has \"$word\" twice: lines ${before + 1} and ${id + 1}",
                "every word once",
            )
        }
    }
    val missing = flags.specialTokens.filterValues { it !in ids }.map { (role, token) -> "$token (${role.key})" }
    if (missing.isNotEmpty()) {
        throw InputException(
            "the vocabulary lacks ${missing.joinToString()}",
            "a vocabulary with every special token",
        )
    }
    return flags.specialTokens.mapValues { ids.getValue(it.value) }
}
