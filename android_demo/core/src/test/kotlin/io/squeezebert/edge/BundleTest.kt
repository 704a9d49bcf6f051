package io.squeezebert.edge

import java.io.File
import java.nio.file.Files
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class BundleTest {
    private fun open(directory: File) = Bundle.open(DirectoryFiles(directory))

    private fun refused(change: (File) -> Unit): String = TinyBundle.write().let { directory ->
        change(directory)
        refusal { open(directory) }
    }

    @Test
    fun `what was written is opened and answers`() {
        val bundle = open(TinyBundle.write())
        assertEquals(listOf(8, 16), bundle.manifest.lengths)
        val asked = ArrayList<String>()
        val runner = object : Runner {
            override fun run(entryPoint: String, inputs: Map<String, IntArray>): Map<String, FloatArray> {
                asked.add(entryPoint)
                assertEquals(listOf("input_ids", "attention_mask"), inputs.keys.toList())
                assertArrayEquals(intArrayOf(2, 5, 6, 7, 8, 3, 0, 0), inputs["input_ids"])
                assertArrayEquals(intArrayOf(1, 1, 1, 1, 1, 1, 0, 0), inputs["attention_mask"])
                return mapOf("logits" to floatArrayOf(-1f, 1f))
            }
        }
        val answer = Predictor(bundle).answer(listOf("The film is GOOD"), runner)
        assertEquals("positive", (answer as LabelAnswer).label)
        assertEquals(listOf("length_8"), asked)
    }

    @Test
    fun `a changed bundle is refused and says what changed`() {
        assertTrue("altered: model.tflite" in refused { File(it, "model.tflite").appendText("x") })
        assertTrue("altered: vocab.txt" in refused { File(it, "vocab.txt").appendText("x") })
        assertTrue("missing: vocab.txt" in refused { File(it, "vocab.txt").delete() })
        val foreign = refused { File(it, "sub/new").apply { parentFile.mkdir() }.writeText("x") }
        assertTrue("not in the manifest: sub/new" in foreign)
        val manifest = refused { File(it, "manifest.json").appendText(" ") }
        assertTrue("manifest.json is not as it was written" in manifest)
        val link = refused { Files.createSymbolicLink(File(it, "link").toPath(), File(it, "vocab.txt").toPath()) }
        assertTrue("a link" in link)
    }

    @Test
    fun `what is no bundle, or a later one, is refused`() {
        assertTrue("not a bundle" in refused { File(it, "manifest.sha256").delete() })
        assertTrue("not a bundle" in refusal { open(File("nowhere")) })
        val later = TinyBundle.MANIFEST.replace("\"schema_version\": 1", "\"schema_version\": 2")
        assertTrue("schema_version 2\nallowed: 1" in refusal { open(TinyBundle.write(manifest = later)) })
    }

    @Test
    fun `a manifest that contradicts its artifact is refused`() {
        for (format in listOf("tflite", "executorch")) {
            val directory = TinyBundle.newDirectory()
            File(System.getProperty("vectors"), "bundles/$format").copyRecursively(directory, overwrite = true)
            val honest = open(directory).manifest
            assertEquals(listOf("negative", "positive"), honest.labels)
            val text = File(directory, "manifest.json").readText()
            val labels = "\"negative\",\\s*\"positive\"".toRegex()
            TinyBundle.seal(directory, text.replace(labels, "\"positive\", \"negative\""))
            val said = "labels is [\"positive\",\"negative\"] in the manifest, [\"negative\",\"positive\"] in the artifact"
            assertTrue(said in refusal { open(directory) })
        }
    }

    @Test
    fun `a unit whose proof failed is refused, and no other`() {
        val onCpu = TinyBundle.WITH_UNITS.replaceFirst(VERIFIED, FAILED)
        val manifest = open(TinyBundle.write(manifest = onCpu)).manifest
        assertEquals(listOf("npu:SM8650", "gpu"), manifest.unitsOn("SM8650"))
        assertEquals(setOf("model.tflite"), manifest.filesOf("gpu").values.toSet())
        for (unit in listOf("cpu", null)) {
            assertTrue("on cpu the bundle is not equal" in refusal { manifest.filesOf(unit) })
        }
        val everywhere = TinyBundle.WITH_UNITS.replace(VERIFIED, FAILED).replace("\"not verified\"", FAILED)
        assertTrue("is not equal to the float model" in refusal { open(TinyBundle.write(manifest = everywhere)) })
        assertTrue("on gpu the bundle is not equal" in refusal { Manifest.of(everywhere).filesOf("gpu") })
    }

    @Test
    fun `a bundle is for the units that its manifest names`() {
        val older = open(TinyBundle.write()).manifest
        assertEquals(null to emptyMap<String, UnitRecord>(), older.unit to older.units)
        val made = open(TinyBundle.write(manifest = TinyBundle.WITH_UNITS)).manifest
        assertEquals(listOf("npu:SM8650", "gpu", "cpu"), made.unitsOn("sm8650"))
        for (chip in listOf("SM8550", "SM8750", null)) assertEquals(listOf("gpu", "cpu"), made.unitsOn(chip))
        assertEquals(listOf("cpu"), older.unitsOn("SM8650"))
        assertEquals(mapOf(8 to "model.tflite", 16 to "vocab.txt"), made.filesOf("npu:SM8550"))
        assertEquals(older.filesOf("gpu"), older.filesOf("cpu"))
        assertTrue("no files for npu:SM8750\nallowed: cpu, cpu-fp16, gpu, npu:SM8650" in refusal { made.filesOf("npu:SM8750") })
        val foreign = TinyBundle.WITH_UNITS.replace("\"16\": \"vocab.txt\"", "\"16\": \"../other.tflite\"")
        assertTrue("none of its files" in refusal { open(TinyBundle.write(manifest = foreign)) })
        val shorter = TinyBundle.WITH_UNITS.replace(", \"16\": \"vocab.txt\"", "")
        assertTrue("units.npu:SM8550.files are for [8]" in refusal { Manifest.of(shorter) })
    }

    @Test
    fun `a manifest with a field that is missing or of another type names it`() {
        for ((was, becomes, reason) in listOf(
            Triple("\"labels\"", "\"label\"", "labels is missing"),
            Triple("[8, 16]", "[8, 1.5]", "lengths is not integers"),
            Triple("[8, 16]", "[16, 8]", "positive and ascending"),
            Triple("\"8\": \"length_8\", ", "", "entry_points are for [16]"),
            Triple("\"cjk\": true", "\"cjk\": 1", "tokenizer.cjk is not true or false"),
            Triple("\"cjk\": true, ", "", "tokenizer has the keys"),
            Triple("\"max_word\": 100", "\"max_word\": 0", "max_word is 0"),
            Triple("\"mask\": \"[MASK]\"", "\"mask\": \" \"", "one word for each of"),
            Triple("\"shape\": [1, 2]", "\"shape\": \"1\"", "outputs.0.shape is not a list"),
        )) {
            val changed = TinyBundle.MANIFEST.replace(was, becomes)
            assertTrue(reason, reason in refusal { Manifest.of(changed) })
        }
    }

    private companion object {
        const val VERIFIED = "\"verified\""
        const val FAILED = "\"failed\""
    }
}
