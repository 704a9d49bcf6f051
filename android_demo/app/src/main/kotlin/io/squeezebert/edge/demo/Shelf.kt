package io.squeezebert.edge.demo

import io.squeezebert.edge.Bundle
import io.squeezebert.edge.BundleFiles
import io.squeezebert.edge.DirectoryFiles
import io.squeezebert.edge.InputException
import io.squeezebert.edge.Manifest
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.util.zip.ZipException
import java.util.zip.ZipInputStream

/**
 * A bundle on the shelf, by its manifest; only [Bundle.open] checks the rest of it.
 *
 * @property bytes of its artifact.
 */
data class Shelved(val directory: File, val manifest: Manifest, val bytes: Long) {
    /** Its directory's. */
    val name: String
        get() = directory.name

    /** Unlike any other's, built in or picked. */
    val key: String
        get() = directory.path

    /** Whether it takes a question and a text to answer it from. */
    val answersQuestions: Boolean
        get() = manifest.task == "question-answering"
}

/**
 * Bundles in a directory of the app's own, from where a runtime can map them. One appears there whole and checked, or
 * not at all.
 */
class Shelf(private val directory: File) {
    /** Bundles by name, without those whose manifest this version cannot read. */
    fun list(): List<Shelved> = directory.listFiles().orEmpty().filter { it.isDirectory && !it.name.endsWith(PART) }
        .sortedBy { it.name }.mapNotNull { found ->
            try {
                val manifest = Manifest.of(File(found, MANIFEST).readText())
                val files = File(found, manifest.artifact).walk().filter { it.isFile }
                Shelved(found, manifest, files.sumOf { it.length() })
            } catch (_: IOException) {
                null
            } catch (_: InputException) {
                null
            }
        }

    /**
     * Copies a bundle here; one that is here already, by its manifest's hash, stays if it is whole.
     *
     * @throws InputException it is no bundle, or altered.
     */
    fun add(files: BundleFiles, name: String = files.name) {
        val target = File(directory, name)
        val seal = files.open(SEAL).use { it.readBytes() }
        if (isWhole(target) && File(target, SEAL).readBytes().contentEquals(seal)) return
        placed(target) { part ->
            for (path in files.paths()) {
                val file = inside(part, path)
                file.parentFile?.mkdirs()
                files.open(path).use { from -> file.outputStream().use { from.copyTo(it) } }
            }
            part
        }
    }

    /**
     * Takes a bundle out of a zip archive, where it is the whole or one directory.
     *
     * @param name of the archive.
     * @return the bundle's name here.
     * @throws InputException it is no archive, or what is in it is no bundle, or altered.
     */
    fun addZip(stream: InputStream, name: String): String {
        val plain = name.removeSuffix(".zip").replace(Regex("[^\\p{L}\\p{N}._-]"), "_").trimStart('.')
        val target = File(directory, plain.removeSuffix(PART).ifEmpty { "bundle" })
        placed(target) { part ->
            unpack(stream, part)
            val manifest = part.walkTopDown().maxDepth(2).firstOrNull { it.name == MANIFEST }
            manifest?.parentFile ?: throw InputException("$name: no $MANIFEST in it", ZIPPED)
        }
        return target.name
    }

    /** Removes bundles but those of these names. */
    fun keep(names: Set<String>) {
        directory.listFiles().orEmpty().filter { it.name !in names }.forEach { it.deleteRecursively() }
    }

    private fun isWhole(bundle: File): Boolean = try {
        Bundle.open(DirectoryFiles(bundle))
        true
    } catch (_: InputException) {
        false
    }

    private fun placed(target: File, fill: (File) -> File) {
        val part = File(directory, target.name + PART)
        try {
            part.deleteRecursively()
            if (!part.mkdirs()) throw IOException("$part cannot be made")
            val found = fill(part)
            Bundle.open(DirectoryFiles(found))
            target.deleteRecursively()
            if (!found.renameTo(target)) throw IOException("$found cannot be moved to $target")
        } finally {
            part.deleteRecursively()
        }
    }

    private fun unpack(stream: InputStream, part: File) {
        var entries = 0
        try {
            val zip = ZipInputStream(stream)
            while (true) {
                val entry = zip.nextEntry ?: break
                entries++
                val file = inside(part, entry.name)
                if (entry.isDirectory) continue
                file.parentFile?.mkdirs()
                file.outputStream().use { zip.copyTo(it) }
            }
        } catch (error: ZipException) {
            throw InputException("not a zip archive that can be read: ${error.message}", ZIPPED)
        }
        if (entries == 0) throw InputException("not a zip archive", ZIPPED)
    }

    /** A file by its path within [part]; what would be outside of it is refused. */
    private fun inside(part: File, path: String): File {
        val file = File(part, path)
        val leaves = !file.canonicalFile.startsWith(part.canonicalFile)
        return if (leaves) throw InputException("\"$path\" leads out of the bundle") else file
    }

    private companion object {
        const val MANIFEST = "manifest.json"
        const val SEAL = "manifest.sha256"
        const val PART = ".part"
        const val ZIPPED = "a bundle, zipped as a directory"
    }
}
