package io.squeezebert.edge

/**
 * Refuses a manifest that does not mean what its artifact, and the files of units, say of themselves. Hashes see what
 * was altered after it was written; they see neither what was written wrong, nor who made them anew.
 *
 * What an artifact does not say is not compared: those of earlier versions say less.
 *
 * @param sizes of all files, by path.
 * @throws InputException they contradict each other; it says in what.
 */
internal fun requireArtifactAgrees(files: BundleFiles, manifest: Manifest, sizes: Map<String, Long>) {
    fun said(path: String): Description? =
        sizes[path]?.let { describe(manifest.format, PieceReader(files, path, it)) }

    val meaning = meaningOf(manifest)
    said(manifest.artifact)?.let { refuse(files, differences(meaning, meaningOf(it, meaning)), "artifact") }
    for (unit in manifest.units.values) {
        for ((length, path) in unit.files.filterValues { it != manifest.artifact }) {
            val entry = mapOf("$length" to manifest.entryPoints[length])
            val expected = meaning + mapOf("form" to unit.form, "entry_points" to entry)
            said(path)?.let { refuse(files, differences(expected, meaningOf(it, expected)), "file $path") }
        }
    }
}

/** By name, as [readJson] gives it. */
private fun meaningOf(manifest: Manifest): Map<String, Any?> = mapOf(
    "source_sha256" to manifest.checkpointSha256,
    "task" to manifest.task,
    "problem_type" to manifest.problemType,
    "labels" to manifest.labels,
    "tokenizer" to mapOf(
        "lower_case" to manifest.tokenizer.lowerCase,
        "strip_accents" to manifest.tokenizer.stripAccents,
        "cjk" to manifest.tokenizer.cjk,
        "max_word" to manifest.tokenizer.maxWord.toLong(),
        "special_tokens" to manifest.tokenizer.specialTokens.mapKeys { it.key.key },
    ),
    "vocabulary_sha256" to manifest.files[Bundle.VOCABULARY],
    "precision" to manifest.exactPrecision,
    "form" to manifest.form,
    "lengths" to manifest.lengths.map { it.toLong() },
    "entry_points" to manifest.entryPoints.mapKeys { "${it.key}" },
)

/** What an artifact says of itself, of the things that are compared. */
private fun meaningOf(said: Description, like: Map<String, Any?>): Map<String, Any?> {
    val found = said.metadata.filterKeys { it in like }.mapValues { (name, text) -> read(text, like[name]) }
    return if (said.entryPoints.isEmpty()) found else found + mapOf("entry_points" to said.entryPoints)
}

/** A text of an artifact's metadata as what stands in the manifest in its place. */
private fun read(said: String, like: Any?): Any? {
    if (like is String && !said.startsWith("\"") && !said.startsWith("null")) return said
    return try {
        readJson(said)
    } catch (_: InputException) {
        said
    }
}

/** The name of each thing that is not the same, and what it is in both. */
private fun differences(manifest: Map<*, *>, found: Map<*, *>): List<Triple<String, Any?, Any?>> =
    found.keys.sortedBy { "$it" }.flatMap { name ->
        val (here, there) = manifest[name] to found[name]
        when {
            here is Map<*, *> && there is Map<*, *> && here.keys == there.keys ->
                differences(here, there).map { (inner, one, other) -> Triple("$name.$inner", one, other) }
            here != there -> listOf(Triple("$name", here, there))
            else -> emptyList()
        }
    }

private fun refuse(files: BundleFiles, differences: List<Triple<String, Any?, Any?>>, other: String) {
    if (differences.isEmpty()) return
    val said = differences.joinToString("; ") { (name, here, there) ->
        "$name is ${quote(here)} in the manifest, ${quote(there)} in the $other"
    }
    throw InputException("$files: the manifest and the $other contradict each other: $said", hint = "export it again")
}

private fun quote(value: Any?): String =
    writeJson(value).let { if (it.length <= LONGEST_VALUE) it else it.take(LONGEST_VALUE - 3) + "..." }

/** Characters of a value that a message shows. */
private const val LONGEST_VALUE = 80
