package io.squeezebert.edge

import java.io.EOFException
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * A file of a bundle, read in pieces wherever asked: an artifact may be larger than an app's memory.
 *
 * @param size its bytes.
 */
internal class PieceReader(private val files: BundleFiles, private val path: String, val size: Long) {
    private val kept = object : LinkedHashMap<Long, ByteArray>(KEPT, 1f, true) {
        override fun removeEldestEntry(eldest: MutableMap.MutableEntry<Long, ByteArray>): Boolean = size > KEPT
    }

    /** The bytes from a place on, refused if the file does not have all of them. */
    fun read(place: Long, count: Int): ByteArray {
        if (place < 0 || place > size - count) throw InputException("$path ends before byte $place + $count")
        val found = ByteArray(count)
        var done = 0
        while (done < count) {
            val at = place + done
            val piece = kept.getOrPut(at / PIECE) { load(at / PIECE * PIECE) }
            val begin = (at % PIECE).toInt()
            val some = minOf(count - done, piece.size - begin)
            piece.copyInto(found, done, begin, begin + some)
            done += some
        }
        return found
    }

    private fun load(start: Long): ByteArray = files.open(path).use { stream ->
        var left = start
        while (left > 0) {
            val skipped = stream.skip(left)
            if (skipped <= 0) throw EOFException("$path ends at byte ${start - left}")
            left -= skipped
        }
        val piece = ByteArray(minOf(PIECE.toLong(), size - start).toInt())
        var done = 0
        while (done < piece.size) {
            val count = stream.read(piece, done, piece.size - done)
            if (count < 0) throw EOFException("$path ends at byte ${start + done}")
            done += count
        }
        piece
    }

    private companion object {
        const val PIECE = 1 shl 14
        const val KEPT = 16
    }
}

/**
 * A table of a FlatBuffers file (https://flatbuffers.dev/internals); its fields are numbered as the schema lists them,
 * a union taking two.
 *
 * Whatever a damaged file says, reading it ends with an [InputException], and soon: what is read so has few entries,
 * and none of them is long.
 */
internal class Table private constructor(private val file: PieceReader, private val position: Long) {
    /** An unsigned integer of 32 bits, 0 where it is left out. */
    fun number(field: Int): Long = place(field)?.let { unsigned(it) } ?: 0

    /** Which of a union's types the field after this one has, 0 for none. */
    fun kind(field: Int): Int = place(field)?.let { file.read(it, 1)[0].toInt() and 0xFF } ?: 0

    /** A table, null where it is left out. */
    fun table(field: Int): Table? = place(field)?.let { at(it) }

    /** A vector's tables. */
    fun tables(field: Int): List<Table> {
        val vector = vector(field, 4)
        if (vector.count > MOST) throw InputException("${vector.count} tables", "at most $MOST")
        return List(vector.count.toInt()) { at(vector.start + 4 * it) }
    }

    /** A vector's table; null where the vector is shorter. */
    fun table(field: Int, index: Long): Table? =
        vector(field, 4).let { if (index in 0 until it.count) at(it.start + 4 * index) else null }

    /** The first of a vector's integers; null where it has none. */
    fun first(field: Int): Long? = vector(field, 4).let { if (it.count > 0) unsigned(it.start) else null }

    /** A vector's bytes, none where it is left out. */
    fun data(field: Int): ByteArray = data(field, LONGEST)

    /** A string, empty where it is left out. */
    fun name(field: Int): String = readUtf8(data(field, LONGEST_NAME), "a name")

    private fun data(field: Int, most: Int): ByteArray {
        val vector = vector(field, 1)
        if (vector.count > most) throw InputException("${vector.count} bytes", "at most $most")
        return file.read(vector.start, vector.count.toInt())
    }

    /** Where a vector's elements begin, and how many there are. */
    private fun vector(field: Int, bytes: Int): Vector {
        val place = place(field) ?: return Vector(0, 0)
        val vector = place + unsigned(place)
        val count = unsigned(vector)
        if (count * bytes > file.size - vector - 4) throw InputException("a vector is longer than the file")
        return Vector(vector + 4, count)
    }

    /** Where a field lies; null where it is left out. */
    private fun place(field: Int): Long? {
        val table = position - unsigned(position).toInt()
        val entry = 4 + 2 * field
        if (entry + 2 > short(table)) return null
        val offset = short(table + entry)
        return if (offset == 0) null else position + offset
    }

    private fun at(place: Long) = Table(file, place + unsigned(place))

    private fun unsigned(place: Long): Long = little(place, 4).getInt().toLong() and 0xFFFFFFFFL

    private fun short(place: Long): Int = little(place, 2).getShort().toInt() and 0xFFFF

    private fun little(place: Long, bytes: Int): ByteBuffer =
        ByteBuffer.wrap(file.read(place, bytes)).order(ByteOrder.LITTLE_ENDIAN)

    private class Vector(val start: Long, val count: Long)

    internal companion object {
        private const val MOST = 1 shl 12
        private const val LONGEST_NAME = 1 shl 16
        private const val LONGEST = 1 shl 22

        /**
         * The table that a file begins with.
         *
         * @param identifier how the file's identifier, from its fifth byte on, begins.
         */
        fun root(file: PieceReader, identifier: String): Table {
            val found = file.read(4, identifier.length).toString(Charsets.ISO_8859_1)
            if (found != identifier) throw InputException("the identifier $found", identifier)
            return Table(file, 0).at(0)
        }
    }
}
