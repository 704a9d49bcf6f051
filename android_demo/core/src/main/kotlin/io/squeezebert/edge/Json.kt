package io.squeezebert.edge

/**
 * A JSON text (RFC 8259) as a Map, List, String, Long, Double, Boolean or null, read strictly: a key twice in one
 * object, a lone surrogate, nesting deeper than 64 and anything behind the value are refused.
 *
 * @throws InputException it is no JSON; the message says at which character.
 */
internal fun readJson(text: String): Any? {
    val reader = JsonReader(text)
    val value = reader.value(0)
    reader.end()
    return value
}

/** [value], of the types that [readJson] gives and Int and Float, on one line. */
internal fun writeJson(value: Any?): String = StringBuilder().also { write(value, it) }.toString()

private class JsonReader(private val text: String) {
    private var next = 0

    fun value(depth: Int): Any? {
        if (depth > MAX_DEPTH) refuse("nested deeper than $MAX_DEPTH")
        space()
        return when (val character = peek()) {
            '{' -> readObject(depth)
            '[' -> readArray(depth)
            '"' -> string()
            't' -> word("true", true)
            'f' -> word("false", false)
            'n' -> word("null", null)
            else -> if (character == '-' || character in '0'..'9') number() else refuse("no value")
        }
    }

    fun end() {
        space()
        if (next < text.length) refuse("something behind the value")
    }

    private fun readObject(depth: Int): Map<String, Any?> {
        val fields = LinkedHashMap<String, Any?>()
        items('}') {
            space()
            if (peek() != '"') refuse("no key")
            val key = string()
            space()
            expect(':')
            if (key in fields) refuse("the key \"$key\" twice")
            fields[key] = value(depth + 1)
        }
        return fields
    }

    private fun readArray(depth: Int): List<Any?> {
        val values = ArrayList<Any?>()
        items(']') { values.add(value(depth + 1)) }
        return values
    }

    private inline fun items(close: Char, item: () -> Unit) {
        next++
        space()
        if (peek() == close) {
            next++
            return
        }
        while (true) {
            item()
            space()
            if (peek() == close) break
            expect(',')
        }
        next++
    }

    private fun string(): String {
        val found = StringBuilder()
        next++
        while (true) {
            val character = peek()
            next++
            when {
                character == '"' -> break
                character == '\\' -> found.append(escaped())
                character < ' ' -> refuse("a control character in a string")
                else -> found.append(character)
            }
        }
        val lone = found.indices.any { index ->
            val high = found[index].isHighSurrogate() && found.getOrNull(index + 1)?.isLowSurrogate() != true
            val low = found[index].isLowSurrogate() && found.getOrNull(index - 1)?.isHighSurrogate() != true
            high || low
        }
        return if (lone) refuse("a lone surrogate") else found.toString()
    }

    private fun escaped(): Char {
        val character = peek()
        next++
        return when (character) {
            '"', '\\', '/' -> character
            'b' -> '\b'
            'f' -> '\u000c'
            'n' -> '\n'
            'r' -> '\r'
            't' -> '\t'
            'u' -> unit()
            else -> refuse("an escape that JSON does not have")
        }
    }

    private fun unit(): Char {
        val digits = text.substring(next, minOf(next + 4, text.length))
        if (digits.length < 4 || digits.any { it !in HEX }) refuse("no four hexadecimal digits")
        next += 4
        return digits.toInt(16).toChar()
    }

    private fun number(): Any {
        val found = NUMBER.find(text, next)
        if (found == null || found.range.first != next) refuse("no number")
        next = found.range.last + 1
        if (found.value.all { it == '-' || it in '0'..'9' }) {
            return found.value.toLongOrNull() ?: refuse("a number that is too large")
        }
        return found.value.toDouble().takeIf { it.isFinite() } ?: refuse("a number that is too large")
    }

    private fun word(word: String, value: Any?): Any? {
        if (!text.startsWith(word, next)) refuse("no value")
        next += word.length
        return value
    }

    private fun space() {
        while (next < text.length && text[next] in " \t\n\r") next++
    }

    private fun peek(): Char = if (next < text.length) text[next] else refuse("it ends too early")

    private fun expect(character: Char) {
        if (peek() != character) refuse("no $character")
        next++
    }

    private fun refuse(what: String): Nothing = throw InputException("not JSON: $what, at character $next")

    private companion object {
        const val MAX_DEPTH = 64
        const val HEX = "0123456789abcdefABCDEF"
        val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")
    }
}

private fun write(value: Any?, into: StringBuilder) {
    when (value) {
        null, is Boolean, is Int, is Long -> into.append(value)
        is Float -> into.append(value.also { require(it.isFinite()) { "JSON has no $it" } })
        is Double -> into.append(value.also { require(it.isFinite()) { "JSON has no $it" } })
        is String -> writeString(value, into)
        is IntArray -> value.joinTo(into, ",", "[", "]")
        is FloatArray -> write(value.asList(), into)
        is List<*> -> {
            into.append('[')
            value.forEachIndexed { index, item ->
                if (index > 0) into.append(',')
                write(item, into)
            }
            into.append(']')
        }
        is Map<*, *> -> {
            into.append('{')
            value.entries.forEachIndexed { index, (key, item) ->
                if (index > 0) into.append(',')
                writeString(key as String, into)
                into.append(':')
                write(item, into)
            }
            into.append('}')
        }
        else -> throw IllegalArgumentException("JSON has no ${value.javaClass}")
    }
}

private fun writeString(text: String, into: StringBuilder) {
    into.append('"')
    for (character in text) {
        when {
            character == '"' || character == '\\' -> into.append('\\').append(character)
            character < ' ' -> into.append("\\u00").append(character.code.toString(16).padStart(2, '0'))
            else -> into.append(character)
        }
    }
    into.append('"')
}
