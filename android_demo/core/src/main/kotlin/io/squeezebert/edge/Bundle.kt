package io.squeezebert.edge

import java.io.File
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.nio.file.Files
import java.security.MessageDigest

/** Where a bundle's files are: a directory, or an app's assets. */
public interface BundleFiles {
    /** The bundle's own name: of its directory. */
    public val name: String

    /** Paths of all files, with `/` between their parts. */
    public fun paths(): Set<String>

    /** A file's content, for the caller to close. */
    public fun open(path: String): InputStream
}

/**
 * A bundle in a directory.
 *
 * @throws InputException from [paths], if a link is in it.
 */
public class DirectoryFiles(public val directory: File) : BundleFiles {
    override val name: String
        get() = directory.canonicalFile.name

    override fun paths(): Set<String> {
        val entries = directory.walkTopDown().filter { it != directory }.toList()
        entries.firstOrNull { Files.isSymbolicLink(it.toPath()) }?.let {
            throw InputException("$it: a link, where a bundle has files only")
        }
        return entries.filter { it.isFile }.map { it.relativeTo(directory).invariantSeparatorsPath }.toSet()
    }

    override fun open(path: String): InputStream = File(directory, path).inputStream()

    override fun toString(): String = directory.path
}

/**
 * An opened bundle, its files found to be those that were written.
 *
 * @property files where its artifact is.
 * @property sha256 its manifest's, which holds the hashes of its files.
 * @property artifactBytes the artifact's size.
 */
public class Bundle private constructor(
    public val files: BundleFiles,
    public val manifest: Manifest,
    public val sha256: String,
    public val artifactBytes: Long,
) {
    /** The tokenizer that the bundle's vocabulary and manifest make; building it takes tens of milliseconds. */
    public fun tokenizer(): Tokenizer =
        Tokenizer(vocabularyOf(readUtf8(files.open(VOCABULARY).use { it.readBytes() }, VOCABULARY)), manifest.tokenizer)

    /** How the outputs of its task become an answer. */
    public fun task(): Task = Task.of(manifest)

    public companion object {
        private const val MANIFEST = "manifest.json"
        private const val SEAL = "manifest.sha256"
        internal const val VOCABULARY: String = "vocab.txt"

        /**
         * Opens a bundle and checks every file against the manifest, and the manifest against the artifact. It reads all of
         * it: not for a main thread.
         *
         * @throws InputException not a bundle, a schema this version does not know, a file that is missing, foreign
         *     or altered, a manifest that contradicts the artifact, or a bundle whose proofs all failed.
         */
        public fun open(files: BundleFiles): Bundle {
            val content: ByteArray
            val sealed: String
            try {
                content = files.open(MANIFEST).use { it.readBytes() }
                sealed = files.open(SEAL).use { readUtf8(it.readBytes(), SEAL) }.trim()
            } catch (error: IOException) {
                throw InputException(
                    "$files: not a bundle, $MANIFEST or $SEAL cannot be read: ${error.message}",
                    "what `squeezebert-edge export` wrote",
                )
            }
            val manifest = try {
                Manifest.of(readUtf8(content, MANIFEST))
            } catch (error: InputException) {
                throw InputException("$files: $MANIFEST: ${error.message}")
            }
            if (sizeAndHash(content.inputStream()).second != sealed) {
                throw InputException("$files: $MANIFEST is not as it was written", hint = EXPORT_AGAIN)
            }
            val sizes = checkedSizes(files, manifest.files)
            // A Core ML package is a directory.
            val artifact = sizes.filterKeys { it == manifest.artifact || it.startsWith(manifest.artifact + "/") }
            if (artifact.isEmpty()) throw InputException("$files: its artifact ${manifest.artifact} is none of its files")
            manifest.units.forEach { (unit, made) ->
                val foreign = made.files.values - sizes.keys
                if (foreign.isNotEmpty()) throw InputException("$files: $unit runs $foreign, none of its files")
            }
            requireArtifactAgrees(files, manifest, sizes)
            if (manifest.failedEverywhere) {
                throw InputException("$files is not equal to the float model", hint = PROVE_AGAIN)
            }
            return Bundle(files, manifest, sealed, artifact.values.sum())
        }

        private const val EXPORT_AGAIN = "export it again, and copy all of it"
        private const val PROVE_AGAIN = "squeezebert-edge verify BUNDLE, or export again in another precision or form"

        /** The size of every file, all of which are as expected. */
        private fun checkedSizes(files: BundleFiles, expected: Map<String, String>): Map<String, Long> {
            val found = files.paths() - setOf(MANIFEST, SEAL)
            val read = (found intersect expected.keys).associateWith { path ->
                files.open(path).use { sizeAndHash(it) }
            }
            val altered = read.filter { (path, it) -> it.second != expected[path] }.keys
            val changes = listOf(
                "missing" to expected.keys - found,
                "not in the manifest" to found - expected.keys,
                "altered" to altered,
            ).filter { it.second.isNotEmpty() }
            if (changes.isNotEmpty()) {
                val listed = changes.joinToString("; ") { (what, paths) -> "$what: ${paths.sorted().joinToString()}" }
                throw InputException("$files: not as it was written: $listed", hint = EXPORT_AGAIN)
            }
            return read.mapValues { it.value.first }
        }

        private fun sizeAndHash(stream: InputStream): Pair<Long, String> {
            val digest = MessageDigest.getInstance("SHA-256")
            val buffer = ByteArray(1 shl 16)
            var size = 0L
            while (true) {
                val count = stream.read(buffer)
                if (count < 0) break
                digest.update(buffer, 0, count)
                size += count
            }
            return size to digest.digest().toHexadecimal()
        }
    }
}

internal fun readUtf8(bytes: ByteArray, name: String): String = try {
    Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString()
} catch (_: CharacterCodingException) {
    throw InputException("$name is not UTF-8")
}

internal fun ByteArray.toHexadecimal(): String =
    joinToString("") { (it.toInt() and 0xFF).toString(16).padStart(2, '0') }
