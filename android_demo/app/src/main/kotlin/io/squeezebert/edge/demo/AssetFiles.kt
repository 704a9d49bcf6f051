package io.squeezebert.edge.demo

import android.content.res.AssetManager
import io.squeezebert.edge.BundleFiles
import java.io.InputStream

/** A bundle among the app's assets. */
class AssetFiles(private val assets: AssetManager, private val path: String) : BundleFiles {
    override val name: String = path.substringAfterLast('/')

    override fun paths(): Set<String> = within(path).map { it.removePrefix("$path/") }.toSet()

    override fun open(path: String): InputStream = assets.open("${this.path}/$path")

    override fun toString(): String = "assets/$path"

    // A directory has children, a file has none; the system knows no other difference.
    private fun within(path: String): List<String> {
        val children = assets.list(path).orEmpty()
        return if (children.isEmpty()) listOf(path) else children.flatMap { within("$path/$it") }
    }

    companion object {
        private const val BUNDLES = "bundles"

        /** The bundles that the app was built with. */
        fun all(assets: AssetManager): List<AssetFiles> =
            assets.list(BUNDLES).orEmpty().filter { !it.startsWith('.') }.map { AssetFiles(assets, "$BUNDLES/$it") }
    }
}
