package io.squeezebert.edge

/**
 * An object of JSON whose fields are asked for by type; what is missing or of another type is refused by name.
 *
 * @param where its place in the whole, for messages; empty for the whole.
 */
internal class JsonRecord(private val fields: Map<String, Any?>, private val where: String = "") {
    val keys: Set<String>
        get() = fields.keys

    fun text(name: String): String = typed(name, "a text")

    fun optionalText(name: String): String? = if (fields[name] == null) null else text(name)

    fun boolean(name: String): Boolean = typed(name, "true or false")

    fun integer(name: String): Int = whole(name, typed(name, "an integer"))

    fun texts(name: String): List<String> = list(name).map { it as? String ?: refuse(name, "texts") }

    fun integers(name: String): List<Int> = list(name).map { whole(name, it as? Long ?: refuse(name, "integers")) }

    /** Integers and nulls. */
    fun optionalIntegers(name: String): List<Int?> =
        list(name).map { item -> item?.let { whole(name, it as? Long ?: refuse(name, "integers")) } }

    fun numbers(name: String): List<Double> = list(name).map { (it as? Number ?: refuse(name, "numbers")).toDouble() }

    fun record(name: String): JsonRecord = JsonRecord(map(name), path(name))

    fun records(name: String): List<JsonRecord> = list(name).mapIndexed { index, item ->
        JsonRecord(asFields(item) ?: refuse(name, "objects"), path("$name.$index"))
    }

    /** The fields of an object that has nothing but texts. */
    fun textsByKey(name: String): Map<String, String> =
        map(name).mapValues { it.value as? String ?: refuse(name, "texts") }

    /** Refuses any other set of keys. */
    fun only(names: Set<String>) {
        if (keys == names) return
        val place = where.ifEmpty { "the whole" }
        throw InputException("$place has the keys ${keys.sorted().joinToString()}", names.sorted().joinToString())
    }

    private fun list(name: String): List<*> = typed(name, "a list")

    private fun map(name: String): Map<String, Any?> = asFields(fields[name]) ?: refuse(name, "an object")

    private inline fun <reified T> typed(name: String, what: String): T = fields[name] as? T ?: refuse(name, what)

    private fun whole(name: String, number: Long): Int {
        if (number !in Int.MIN_VALUE..Int.MAX_VALUE) refuse(name, "an integer of 32 bits")
        return number.toInt()
    }

    private fun path(name: String): String = if (where.isEmpty()) name else "$where.$name"

    private fun refuse(name: String, what: String): Nothing {
        val seen = if (name in fields) "is not $what" else "is missing"
        throw InputException("${path(name)} $seen", what)
    }

    internal companion object {
        /** The object that a JSON text is. */
        fun read(text: String): JsonRecord =
            JsonRecord(asFields(readJson(text)) ?: throw InputException("not an object of JSON"))

        private fun asFields(value: Any?): Map<String, Any?>? =
            (value as? Map<*, *>)?.entries?.associate { it.key as String to it.value }
    }
}
