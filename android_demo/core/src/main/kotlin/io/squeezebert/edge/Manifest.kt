package io.squeezebert.edge

/**
 * An input or output as the artifact declares it.
 *
 * @property shape its dimensions; null is the sequence length.
 */
public data class TensorSpec(val name: String, val dtype: String, val shape: List<Int?>)

/**
 * How a compute unit beside the CPU runs a bundle.
 *
 * @property files the file that serves each length, by its path in the bundle.
 * @property form of the network that they were made from, as [Manifest.form].
 * @property verification of the unit, as [Manifest.verification].
 */
public data class UnitRecord(val files: Map<Int, String>, val form: String, val verification: String)

/**
 * What an app needs of a bundle's manifest.json; docs/manifest.md describes all of it.
 *
 * @property checkpoint what the bundle was made from, and [checkpointSha256] its hash.
 * @property format `executorch`, `coreml` or `tflite`.
 * @property artifact the model's name in the bundle.
 * @property task the head, by Hugging Face's pipeline name.
 * @property problemType of a text classifier; null means a number where there is one label, and one of several otherwise.
 * @property labels in the order of the outputs.
 * @property precision as it was asked for, and [exactPrecision] what it stands for.
 * @property form how the layers are laid out.
 * @property lengths the sequence lengths, ascending.
 * @property entryPoints the method or signature that serves each length.
 * @property verification `verified`, `failed` or `not verified`.
 * @property unit the compute unit that [verification] is of; null where the phone decides which one runs the artifact, as
 *     Core ML does, and in bundles of before there was another.
 * @property units further compute units that the bundle was made and proven for, by name: `gpu`, or `npu:` and the chip.
 * @property files sha256 of every other file, by path in the bundle.
 */
public data class Manifest(
    val checkpoint: String,
    val checkpointSha256: String,
    val format: String,
    val artifact: String,
    val task: String,
    val problemType: String?,
    val labels: List<String>,
    val precision: String,
    val exactPrecision: String,
    val form: String,
    val lengths: List<Int>,
    val entryPoints: Map<Int, String>,
    val inputs: List<TensorSpec>,
    val outputs: List<TensorSpec>,
    val tokenizer: TokenizerFlags,
    val verification: String,
    val unit: String?,
    val units: Map<String, UnitRecord>,
    val files: Map<String, String>,
) {
    public companion object {
        private const val SCHEMA_VERSION = 1
        private val PROBLEM_TYPES =
            arrayOf("regression", "single_label_classification", "multi_label_classification")

        /**
         * Reads a manifest.json.
         *
         * @throws InputException it is no manifest, or of a schema that this version does not know.
         */
        public fun of(text: String): Manifest {
            val record = JsonRecord.read(text)
            val version = record.integer("schema_version")
            if (version != SCHEMA_VERSION) {
                throw InputException(
                    "schema_version $version",
                    "$SCHEMA_VERSION",
                    "take the core of the squeezebert-edge that wrote it, or export again",
                )
            }
            val lengths = record.integers("lengths")
            if (lengths.isEmpty() || lengths[0] < 1 || lengths.zipWithNext().any { (a, b) -> a >= b }) {
                throw InputException("lengths are $lengths", "positive and ascending")
            }
            return Manifest(
                record.record("source").text("checkpoint"),
                record.record("source").text("sha256"),
                record.text("format"),
                record.text("artifact"),
                record.text("task"),
                record.optionalText("problem_type")?.let { record.oneOf("problem_type", *PROBLEM_TYPES) },
                record.texts("labels"),
                record.record("precision").text("name"),
                record.record("precision").text("exact"),
                record.text("form"),
                lengths,
                byLength("entry_points", record.textsByKey("entry_points"), lengths),
                record.records("inputs").map { tensor(it) },
                record.records("outputs").map { tensor(it) },
                TokenizerFlags.of(record.record("tokenizer")),
                record.record("verification").text("status"),
                record.optionalText("unit"),
                if ("units" in record.keys) units(record.record("units"), lengths) else emptyMap(),
                record.textsByKey("files"),
            )
        }

        private fun units(units: JsonRecord, lengths: List<Int>): Map<String, UnitRecord> =
            units.keys.associateWith { name ->
                val unit = units.record(name)
                val files = byLength("units.$name.files", unit.textsByKey("files"), lengths)
                UnitRecord(files, unit.text("form"), unit.record("verification").text("status"))
            }

        private fun tensor(record: JsonRecord) =
            TensorSpec(record.text("name"), record.text("dtype"), record.optionalIntegers("shape"))

        private fun byLength(what: String, found: Map<String, String>, lengths: List<Int>): Map<Int, String> {
            if (found.keys != lengths.map { it.toString() }.toSet()) {
                throw InputException("$what are for ${found.keys}", "one for each of the lengths $lengths")
            }
            return lengths.associateWith { found.getValue(it.toString()) }
        }
    }
}
