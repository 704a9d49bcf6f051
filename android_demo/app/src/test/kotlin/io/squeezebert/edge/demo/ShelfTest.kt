package io.squeezebert.edge.demo

import io.squeezebert.edge.DirectoryFiles
import io.squeezebert.edge.InputException
import io.squeezebert.edge.TinyBundle
import io.squeezebert.edge.refusal
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.File
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

class ShelfTest {
    private val directory = TinyBundle.newDirectory()
    private val shelf = Shelf(directory)

    @Test
    fun `a bundle is copied once`() {
        val bundle = TinyBundle.write()
        shelf.add(DirectoryFiles(bundle))
        val copied = File(directory, "tiny/model.tflite")
        copied.setLastModified(0)
        shelf.add(DirectoryFiles(bundle))
        assertEquals(0, copied.lastModified())
        assertEquals(listOf("tiny"), shelf.list().map { it.name })
        assertEquals(8, shelf.list().single().bytes)
    }

    @Test
    fun `a damaged copy is made anew`() {
        val bundle = TinyBundle.write()
        shelf.add(DirectoryFiles(bundle))
        File(directory, "tiny/model.tflite").delete()
        shelf.add(DirectoryFiles(bundle))
        assertEquals("no model", File(directory, "tiny/model.tflite").readText())
    }

    @Test
    fun `another bundle of the same name takes its place`() {
        val questions = TinyBundle.MANIFEST.replace("text-classification", "question-answering")
        shelf.add(DirectoryFiles(TinyBundle.write()))
        shelf.add(DirectoryFiles(TinyBundle.write(manifest = questions)))
        assertTrue(shelf.list().single().answersQuestions)
    }

    @Test
    fun `an altered bundle leaves nothing behind`() {
        val bundle = TinyBundle.write()
        File(bundle, "model.tflite").writeText("another model")
        assertTrue("altered: model.tflite" in refusal { shelf.add(DirectoryFiles(bundle)) })
        assertEquals(emptyList<String>(), directory.list().orEmpty().toList())
    }

    @Test
    fun `a copy that was broken off is begun anew`() {
        File(directory, "tiny.part").mkdirs()
        File(directory, "tiny.part/foreign").writeText("half")
        assertEquals(emptyList<Shelved>(), shelf.list())
        shelf.add(DirectoryFiles(TinyBundle.write()))
        assertEquals(setOf("tiny"), directory.list().orEmpty().toSet())
    }

    @Test
    fun `what an app no longer has is removed`() {
        shelf.add(DirectoryFiles(TinyBundle.write("one")))
        shelf.add(DirectoryFiles(TinyBundle.write("two")))
        shelf.keep(setOf("two"))
        assertEquals(listOf("two"), shelf.list().map { it.name })
    }

    @Test
    fun `a zip holds a bundle as the whole or as a directory`() {
        for (prefix in listOf("", "tiny/")) {
            assertEquals("my_bundle", shelf.addZip(zip(prefix), "my bundle.zip"))
            assertEquals(listOf("my_bundle"), shelf.list().map { it.name })
            shelf.keep(emptySet())
        }
    }

    @Test
    fun `a zip's name leads nowhere`() {
        assertEquals("_.._evil", shelf.addZip(zip(""), "/../evil"))
        assertEquals("bundle", shelf.addZip(zip(""), "...zip"))
    }

    @Test
    fun `what leads out of a zip is refused`() {
        assertTrue("leads out" in refusal { shelf.addZip(zip("../../"), "evil.zip") })
        assertFalse(File(directory.parentFile, "vocab.txt").exists())
        assertEquals(emptyList<String>(), directory.list().orEmpty().toList())
    }

    @Test
    fun `what is no zip or has no bundle is refused`() {
        assertTrue("not a zip archive" in refusal { shelf.addZip(ByteArrayInputStream("text".toByteArray()), "a.zip") })
        val other = ByteArrayOutputStream()
        ZipOutputStream(other).use { it.putNextEntry(ZipEntry("other")) }
        val message = refusal { shelf.addZip(ByteArrayInputStream(other.toByteArray()), "a.zip") }
        assertTrue(message, "no manifest.json" in message)
    }

    @Test
    fun `a zip that is cut short leaves nothing behind`() {
        val whole = zip("").readBytes()
        try {
            shelf.addZip(ByteArrayInputStream(whole.copyOf(whole.size / 2)), "a.zip")
            throw AssertionError("not refused")
        } catch (_: InputException) {
        } catch (_: java.io.IOException) {
        }
        assertEquals(emptyList<String>(), directory.list().orEmpty().toList())
    }

    private fun zip(prefix: String): ByteArrayInputStream {
        val bytes = ByteArrayOutputStream()
        ZipOutputStream(bytes).use { zip ->
            for (file in TinyBundle.write().listFiles().orEmpty()) {
                zip.putNextEntry(ZipEntry(prefix + file.name))
                zip.write(file.readBytes())
            }
        }
        return ByteArrayInputStream(bytes.toByteArray())
    }
}
