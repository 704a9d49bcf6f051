package io.squeezebert.edge

/** The word behind each mask token. */
public class FillMask : Task() {
    override val perToken: Set<String> = setOf("logits")

    /** One row; an InputException if no mask token is left in it. */
    override fun encode(example: Example, tokenizer: Tokenizer, maxLength: Int, docStride: Int): List<Encoding> =
        super.encode(example, tokenizer, maxLength, docStride).onEach { masked(it, tokenizer) }

    override fun answer(example: Example, rows: List<Row>, tokenizer: Tokenizer): MasksAnswer {
        val encoding = rows[0].encoding
        val masks = masked(encoding, tokenizer).map { token ->
            val all = rows[0].output("logits", token)
            val words = tokenizer.vocabulary.size
            // A padded head has more rows than the vocabulary has words.
            if (all.size < words) throw InputException("${all.size} logits for a token", "at least $words")
            val logits = all.copyOf(words)
            val scores = softmax(logits)
            val candidates = largest(logits, CANDIDATES_SHOWN).map { Candidate(tokenizer.vocabulary[it], scores[it]) }
            Mask(encoding.starts[token], encoding.ends[token], candidates)
        }
        return MasksAnswer(masks)
    }

    private fun masked(encoding: Encoding, tokenizer: Tokenizer): List<Int> {
        val mask = tokenizer.id(Role.MASK)
        val tokens = encoding.ids.indices.filter { encoding.ids[it] == mask }
        if (tokens.isEmpty()) {
            val where = if (encoding.truncated) "within the longest length" else "in the text"
            val token = tokenizer.vocabulary[mask]
            throw InputException("no $token $where", "a text with $token in it")
        }
        return tokens
    }

    private companion object {
        const val CANDIDATES_SHOWN = 5
    }
}

/** The bare model: hidden states and the pooled first one. */
public class FeatureExtraction : Task() {
    override val outputs: List<String> = listOf("last_hidden_state", "pooler_output")
    override val perToken: Set<String> = setOf("last_hidden_state")

    override fun answer(example: Example, rows: List<Row>, tokenizer: Tokenizer): FeaturesAnswer =
        FeaturesAnswer(rows[0].encoding.ids.map { tokenizer.vocabulary[it] }, rows[0].outputs)
}
