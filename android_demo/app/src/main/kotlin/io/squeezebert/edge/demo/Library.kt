package io.squeezebert.edge.demo

import android.content.ContentResolver
import android.content.res.AssetManager
import android.net.Uri
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException
import java.util.concurrent.Executor

/** @property isBusy bundles are being copied. @property error what went wrong last. */
data class LibraryState(
    val bundles: List<Shelved> = emptyList(),
    val isBusy: Boolean = true,
    val error: Throwable? = null,
)

/** The bundles that this app has: its assets, copied once to where a runtime can map them, and those a user picked. */
class Library(
    directory: File,
    private val assets: AssetManager,
    private val work: Executor,
    post: (() -> Unit) -> Unit,
) {
    private val built = Shelf(File(directory, "built"))
    private val picked = Shelf(File(directory, "picked"))
    val state = Watched(LibraryState(), post)

    /** Copies assets that are not here yet, and forgets those of an older version of the app. */
    fun open() = change {
        val found = AssetFiles.all(assets)
        built.keep(found.map { it.name }.toSet())
        found.mapNotNull { files -> failure { built.add(files) } }.firstOrNull()?.let { throw it }
    }

    /** Copies a zipped bundle that a user picked. */
    fun add(resolver: ContentResolver, uri: Uri) = change {
        val stream = resolver.openInputStream(uri) ?: throw FileNotFoundException("$uri gives nothing to read")
        stream.use { picked.addZip(it, name(resolver, uri)) }
    }

    private fun change(action: () -> Unit) {
        state.update { it.copy(isBusy = true, error = null) }
        work.execute {
            val error = failure(action)
            val bundles = built.list() + picked.list()
            state.update { LibraryState(bundles, isBusy = false, error) }
        }
    }

    /** What goes wrong in [action], so that the other bundles are there nevertheless. */
    private fun failure(action: () -> Unit): Exception? = try {
        action()
        null
    } catch (error: Exception) {
        error
    }

    private fun name(resolver: ContentResolver, uri: Uri): String {
        val columns = arrayOf(OpenableColumns.DISPLAY_NAME)
        val name = resolver.query(uri, columns, null, null)?.use { if (it.moveToFirst()) it.getString(0) else null }
        return name ?: "bundle.zip"
    }
}
