package io.squeezebert.edge

import java.util.Arrays

/**
 * What BERT's tokenizer asks of Unicode, from [UnicodeTables] and never from the device, whose version differs.
 */
internal object Unicode {
    const val DROPPED: Int = 1
    const val SPACE: Int = 2
    const val PUNCTUATION: Int = 4
    const val MARK: Int = 8
    const val CJK: Int = 16

    private const val HANGUL = 0xAC00
    private const val HANGUL_COUNT = 11172

    private val classes = Runs(UnicodeTables.CLASSES)
    private val ranks = Runs(UnicodeTables.RANKS)
    private val decompositions = Mappings(UnicodeTables.DECOMPOSITIONS)

    /** What a character becomes in lower case, whatever stands beside it. */
    val lowerCase: Mappings = Mappings(UnicodeTables.LOWER_CASE)

    /** The first code point that NFD touches, by itself or among others. */
    val firstDecomposed: Int = decompositions.first

    /** [DROPPED], [SPACE], [PUNCTUATION], [MARK] and [CJK], added up. */
    fun flags(code: Int): Int = classes[code]

    /** The canonical combining class's rank among all; 0 for a starter. */
    fun rank(code: Int): Int = ranks[code]

    /**
     * The full canonical decomposition, written to [into], of at least 4 places.
     *
     * @return how many code points it has; 1 where nothing decomposes.
     */
    fun decompose(code: Int, into: IntArray): Int {
        val syllable = code - HANGUL
        if (syllable in 0 until HANGUL_COUNT) { // section 3.12 of the Unicode Standard
            into[0] = 0x1100 + syllable / 588
            into[1] = 0x1161 + syllable % 588 / 28
            into[2] = 0x11A7 + syllable % 28
            return if (syllable % 28 == 0) 2 else 3
        }
        val row = decompositions.rowOf(code)
        if (row < 0) {
            into[0] = code
            return 1
        }
        for (place in 0 until decompositions.count(row)) into[place] = decompositions.target(row, place)
        return decompositions.count(row)
    }
}

/** A small number for every code point, the same over runs of them. */
internal class Runs(digits: String) {
    private val starts: IntArray
    private val values: ByteArray

    init {
        val numbers = Digits(digits)
        val starts = IntList()
        val values = IntList()
        var start = 0
        while (numbers.hasNext()) {
            starts.add(start)
            start += numbers.unsigned()
            values.add(numbers.unsigned())
        }
        starts.add(start)
        values.add(0)
        this.starts = starts.toArray()
        this.values = ByteArray(values.size) { values[it].toByte() }
    }

    private val latin = ByteArray(LATIN) { search(it).toByte() }

    operator fun get(code: Int): Int = if (code < LATIN) latin[code].toInt() else search(code)

    private fun search(code: Int): Int {
        val found = Arrays.binarySearch(starts, code)
        return values[if (found < 0) -found - 2 else found].toInt()
    }
}

/** Code points that become one or more others. */
internal class Mappings(digits: String) {
    private val keys: IntArray
    private val starts: IntArray
    private val targets: IntArray

    init {
        val numbers = Digits(digits)
        val keys = IntList()
        val starts = IntList()
        val targets = IntList()
        var code = 0
        while (numbers.hasNext()) {
            code += numbers.unsigned()
            keys.add(code)
            starts.add(targets.size)
            repeat(numbers.unsigned()) { targets.add(code + numbers.signed()) }
        }
        starts.add(targets.size)
        this.keys = keys.toArray()
        this.starts = starts.toArray()
        this.targets = targets.toArray()
    }

    private val latin = IntArray(LATIN) { Arrays.binarySearch(keys, it) }

    /** The smallest code point that becomes another. */
    val first: Int = keys[0]

    /** Where [code]'s targets are; negative if it stays what it is. */
    fun rowOf(code: Int): Int = if (code < LATIN) latin[code] else Arrays.binarySearch(keys, code)

    /** How many code points a row has. */
    fun count(row: Int): Int = starts[row + 1] - starts[row]

    /** One of a row's code points. */
    fun target(row: Int, place: Int): Int = targets[starts[row] + place]
}

private const val LATIN = 256

/** Numbers in base64 VLQ, as `tests/demos/unicode_tables.py` writes them. */
private class Digits(private val digits: String) {
    private var next = 0

    fun hasNext(): Boolean = next < digits.length

    fun unsigned(): Int {
        var number = 0
        var shift = 0
        while (true) {
            val digit = valueOf(digits[next++])
            number = number or (digit and 31 shl shift)
            if (digit < 32) return number
            shift += 5
        }
    }

    fun signed(): Int {
        val number = unsigned()
        return if (number and 1 == 1) -(number ushr 1) else number ushr 1
    }

    private fun valueOf(digit: Char): Int = when (digit) {
        in 'A'..'Z' -> digit - 'A'
        in 'a'..'z' -> digit - 'a' + 26
        in '0'..'9' -> digit - '0' + 52
        '+' -> 62
        else -> 63
    }
}
