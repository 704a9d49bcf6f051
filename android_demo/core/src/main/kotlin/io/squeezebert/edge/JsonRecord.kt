package io.squeezebert.edge

/**
 * An object of JSON whose fields are asked for by type; what is missing or of another type is refused by name.
 *
 * @param where its place in the whole, for messages; empty for the whole.
 */
internal class JsonRecord(private val fields: Map<String, Any?>, private val where: String = "") {
    private val asked = HashSet<String>()

    val keys: Set<String>
        get() = fields.keys

    /** What is read of all its fields: one that is not asked for is refused. */
    fun <T> whole(read: JsonRecord.() -> T): T {
        val value = read()
        if (!asked.containsAll(keys)) refuseKeys(asked)
        return value
    }

    /** Refuses any other set of keys. */
    fun only(names: Set<String>) {
        if (keys != names) refuseKeys(names)
    }

    fun text(name: String): String = typed(name, "a text")

    fun optionalText(name: String): String? = if (fields[name] == null) null else text(name)

    fun oneOf(name: String, vararg allowed: String): String = text(name).also {
        if (it !in allowed) throw InputException("${path(name)} is \"$it\"", allowed.joinToString())
    }

    fun matching(name: String, pattern: Regex, allowed: String): String = text(name).also {
        if (!pattern.matches(it)) throw InputException("${path(name)} is \"$it\"", allowed)
    }

    fun boolean(name: String): Boolean = typed(name, "true or false")

    fun integer(name: String): Int = whole(name, long(name))

    fun long(name: String): Long = typed(name, "an integer")

    fun number(name: String): Double = typed<Number>(name, "a number").toDouble()

    /** A field that must be there and may be null. */
    fun <T : Any> nullable(name: String, read: (String) -> T): T? {
        if (name !in fields) refuse(name, "a value or null")
        asked.add(name)
        return if (fields[name] == null) null else read(name)
    }

    fun texts(name: String): List<String> = list(name).map { it as? String ?: refuse(name, "texts") }

    fun integers(name: String): List<Int> = longs(name).map { whole(name, it) }

    fun longs(name: String): List<Long> = list(name).map { it as? Long ?: refuse(name, "integers") }

    fun integerLists(name: String): List<List<Int>> = list(name).map { items ->
        (items as? List<*> ?: refuse(name, "lists")).map { whole(name, it as? Long ?: refuse(name, "integers")) }
    }

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

    private fun list(name: String): List<*> = typed(name, "a list")

    private fun map(name: String): Map<String, Any?> =
        asFields(typed<Map<*, *>>(name, "an object")) ?: refuse(name, "an object")

    private inline fun <reified T> typed(name: String, what: String): T {
        asked.add(name)
        return fields[name] as? T ?: refuse(name, what)
    }

    private fun whole(name: String, number: Long): Int {
        if (number !in Int.MIN_VALUE..Int.MAX_VALUE) refuse(name, "an integer of 32 bits")
        return number.toInt()
    }

    private fun path(name: String): String = if (where.isEmpty()) name else "$where.$name"

    private fun refuse(name: String, what: String): Nothing {
        val seen = if (name in fields) "is not $what" else "is missing"
        throw InputException("${path(name)} $seen", what)
    }

    private fun refuseKeys(allowed: Set<String>): Nothing {
        val place = where.ifEmpty { "the whole" }
        throw InputException("$place has the keys ${keys.sorted().joinToString()}", allowed.sorted().joinToString())
    }

    internal companion object {
        /** The object that a JSON text is. */
        fun read(text: String): JsonRecord =
            JsonRecord(asFields(readJson(text)) ?: throw InputException("not an object of JSON"))

        private fun asFields(value: Any?): Map<String, Any?>? =
            (value as? Map<*, *>)?.entries?.associate { it.key as String to it.value }
    }
}
