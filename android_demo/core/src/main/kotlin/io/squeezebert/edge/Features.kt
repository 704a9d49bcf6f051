package io.squeezebert.edge

/**
 * A model's inputs of a fixed length, by name, in the order in which the artifact takes them; each is one row
 * (1, [length]) of int32. Padding stands at the end: [padId] with mask 0 and type 0.
 *
 * @throws InputException the tokens do not fit, or the artifact wants an input that texts do not have.
 */
public fun features(encoding: Encoding, length: Int, padId: Int, inputs: List<TensorSpec>): Map<String, IntArray> {
    if (encoding.size > length) {
        throw InputException("${encoding.size} tokens do not fit a length of $length", "at least ${encoding.size}")
    }
    return inputs.associate { it.name to feature(it.name, encoding, length, padId) }
}

private fun feature(name: String, encoding: Encoding, length: Int, padId: Int): IntArray = when (name) {
    "input_ids" -> IntArray(length) { if (it < encoding.size) encoding.ids[it] else padId }
    "attention_mask" -> IntArray(length) { if (it < encoding.size) 1 else 0 }
    "token_type_ids" -> encoding.tokenTypes.copyOf(length)
    else -> throw InputException("the artifact wants \"$name\"", "input_ids, attention_mask, token_type_ids")
}

/**
 * The shortest of [lengths] that holds [tokens].
 *
 * @throws InputException none does.
 */
public fun shortestLength(tokens: Int, lengths: List<Int>): Int =
    lengths.filter { it >= tokens }.minOrNull() ?: throw InputException(
        "$tokens tokens fit none of the lengths",
        "at most ${lengths.maxOrNull()} tokens",
        "truncate the text, or export a longer length",
    )
