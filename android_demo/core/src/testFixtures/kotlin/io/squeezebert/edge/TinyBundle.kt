@file:Suppress("REDUNDANT_VISIBILITY_MODIFIER") // Gradle may hold these sources to explicitApi(), as it holds main's.

package io.squeezebert.edge

import java.io.File
import java.nio.file.Files
import java.security.MessageDigest

/** A small tokenizer and bundles around it, for the tests of core and of the app. */
public object TinyBundle {
    public val words: List<String> =
        "[PAD] [UNK] [CLS] [SEP] [MASK] the film is good bad ##ly , . ? who i made it in 1 ##9 ##8".split(" ")

    public val flags: TokenizerFlags = TokenizerFlags(
        lowerCase = true,
        stripAccents = true,
        cjk = true,
        maxWord = 100,
        specialTokens = Role.entries.associateWith { "[${it.name}]" },
    )

    public val tokenizer: Tokenizer = Tokenizer(words, flags)

    public const val MANIFEST: String = """{
        "schema_version": 1, "source": {"checkpoint": "CHECKPOINT", "sha256": "00"},
        "format": "tflite", "artifact": "model.tflite", "task": "text-classification", "problem_type": null,
        "labels": ["negative", "positive"], "precision": {"name": "int8", "exact": "int8-dynamic"}, "form": "plain",
        "lengths": [8, 16], "entry_points": {"8": "length_8", "16": "length_16"},
        "inputs": [{"name": "input_ids", "dtype": "int32", "shape": [1, null]},
                   {"name": "attention_mask", "dtype": "int32", "shape": [1, null]}],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": [1, 2]}],
        "tokenizer": {"lower_case": true, "strip_accents": true, "cjk": true, "max_word": 100,
                      "special_tokens": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]",
                                         "mask": "[MASK]"}},
        "verification": {"status": "verified"},
        "files": {"model.tflite": "FIRST", "vocab.txt": "SECOND"}
    }"""

    /** The same, made for the GPU and for two chips, of which one was not proven. */
    public val WITH_UNITS: String = MANIFEST.replace(
        "\"files\":",
        """"unit": "cpu", "units": {
            "npu:SM8650": {"files": {"8": "model.tflite", "16": "model.tflite"}, "form": "conv2d",
                           "verification": {"status": "verified"}},
            "npu:SM8550": {"files": {"8": "model.tflite", "16": "vocab.txt"}, "form": "conv2d",
                           "verification": {"status": "not verified"}},
            "gpu": {"files": {"8": "model.tflite", "16": "model.tflite"}, "form": "conv2d",
                    "verification": {"status": "verified"}}
        }, "files":""",
    )

    /** Writes a bundle of this name, as `export` would, into a new directory. */
    public fun write(name: String = "tiny", manifest: String = MANIFEST): File {
        val directory = File(newDirectory(), name).apply { mkdirs() }
        val model = "no model".toByteArray()
        val vocabulary = words.joinToString("\n", postfix = "\n").toByteArray()
        File(directory, "model.tflite").writeBytes(model)
        File(directory, "vocab.txt").writeBytes(vocabulary)
        seal(directory, manifest.replace("FIRST", sha256(model)).replace("SECOND", sha256(vocabulary)))
        return directory
    }

    /** Writes a manifest and its hash, as who makes them anew. */
    public fun seal(directory: File, manifest: String) {
        File(directory, "manifest.json").writeText(manifest)
        File(directory, "manifest.sha256").writeText(sha256(manifest.toByteArray()) + "\n")
    }

    public fun newDirectory(): File = Files.createTempDirectory("tiny").toFile()

    private fun sha256(bytes: ByteArray): String =
        MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
}

/** The message of the InputException that [call] throws. */
public fun refusal(call: () -> Unit): String {
    try {
        call()
    } catch (error: InputException) {
        return error.message.orEmpty()
    }
    throw AssertionError("not refused")
}
