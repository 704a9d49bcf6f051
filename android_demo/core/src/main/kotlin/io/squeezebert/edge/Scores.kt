package io.squeezebert.edge

import kotlin.math.exp

/** Probabilities of logits. */
internal fun softmax(logits: FloatArray): FloatArray {
    val largest = logits.max()
    val exponentials = DoubleArray(logits.size) { exp((logits[it] - largest).toDouble()) }
    val sum = exponentials.sum()
    return FloatArray(logits.size) { (exponentials[it] / sum).toFloat() }
}

/** Where the largest value is, the first of several; NaN counts as the largest, as in numpy. */
internal fun argmax(values: FloatArray): Int {
    var best = 0
    for (index in values.indices) {
        if (values[index].isNaN()) return index
        if (values[index] > values[best]) best = index
    }
    return best
}

/** Where the [count] largest values are, in order, the first of equal ones first; NaN comes last. */
internal fun largest(values: FloatArray, count: Int): List<Int> {
    val best = ArrayList<Int>(count + 1)
    for (index in values.indices) {
        var place = best.size
        while (place > 0 && precedes(values[index], values[best[place - 1]])) place--
        if (place < count) {
            best.add(place, index)
            if (best.size > count) best.removeAt(count)
        }
    }
    return best
}

private fun precedes(value: Float, other: Float): Boolean = value > other || (other.isNaN() && !value.isNaN())
