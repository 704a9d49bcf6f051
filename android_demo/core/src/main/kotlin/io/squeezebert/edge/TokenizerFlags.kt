package io.squeezebert.edge

/** What a special token is for. */
public enum class Role {
    PAD,
    UNK,
    CLS,
    SEP,
    MASK,
    ;

    /** As the manifest spells it. */
    public val key: String = name.map { 'a' + (it - 'A') }.joinToString("")
}

/**
 * How text is cut into words and pieces.
 *
 * @property lowerCase text is lower-cased.
 * @property stripAccents combining marks (category Mn) are dropped after canonical decomposition.
 * @property cjk every CJK ideograph is a word of its own.
 * @property maxWord a longer word, in Unicode scalars, becomes the unknown token.
 * @property specialTokens a token for each role.
 */
public data class TokenizerFlags(
    val lowerCase: Boolean,
    val stripAccents: Boolean,
    val cjk: Boolean,
    val maxWord: Int,
    val specialTokens: Map<Role, String>,
) {
    init {
        if (maxWord < 1) throw InputException("the tokenizer's max_word is $maxWord", "at least 1")
        val roles = Role.entries.joinToString { it.key }
        if (specialTokens.keys != Role.entries.toSet() || specialTokens.values.any { it.isBlank() }) {
            throw InputException("the tokenizer's special tokens are $specialTokens", "one word for each of $roles")
        }
    }

    internal companion object {
        private val KEYS = setOf("lower_case", "strip_accents", "cjk", "max_word", "special_tokens")

        /** The flags of a bundle's manifest; every key is required, none other is allowed. */
        fun of(record: JsonRecord): TokenizerFlags {
            record.only(KEYS)
            val tokens = record.record("special_tokens")
            tokens.only(Role.entries.map { it.key }.toSet())
            return TokenizerFlags(
                record.boolean("lower_case"),
                record.boolean("strip_accents"),
                record.boolean("cjk"),
                record.integer("max_word"),
                Role.entries.associateWith { tokens.text(it.key) },
            )
        }
    }
}
