package io.squeezebert.edge

/** The compute unit that every phone has. */
public const val CPU: String = "cpu"

/** The CPU, computing in float16 what a file has in float32. */
public const val CPU_FP16: String = "cpu-fp16"

/** The GPU of a phone. */
public const val GPU: String = "gpu"

private const val FAILED = "failed"

/** Begins the name of an NPU, which ends with its chip: a file is compiled for one. */
public const val NPU: String = "npu:"

/**
 * The files that a unit runs, by length: its own, or the artifact where nothing is compiled for it.
 *
 * @throws InputException the bundle holds no files for the chip, or the unit's proof failed.
 */
public fun Manifest.filesOf(unit: String?): Map<Int, String> {
    val own = units[unit]
    if (own == null && unit != null && unit.startsWith(NPU)) {
        throw InputException(
            "the bundle holds no files for $unit",
            (setOf(CPU, CPU_FP16, GPU) + units.keys).joinToString(),
            "squeezebert-edge export CHECKPOINT --to $format --unit $unit",
        )
    }
    if (failedOn(unit)) throw InputException("on ${unit ?: CPU} the bundle is not equal to the float model")
    return own?.files ?: lengths.associateWith { artifact }
}

/** Whether the proof of what a unit runs failed: its own, or the artifact's where it runs the artifact. */
private fun Manifest.failedOn(unit: String?): Boolean = (units[unit]?.verification ?: verification) == FAILED

/** Whether no unit can run the bundle, since every proof of it failed. */
internal val Manifest.failedEverywhere: Boolean
    get() = verification == FAILED && units.values.all { it.verification == FAILED }

/**
 * The units that a bundle was proven for and a phone has, the best first: the NPU of its chip, its GPU, its CPU.
 *
 * @param chip the phone's, as `Build.SOC_MODEL` has it; null where it is not known.
 */
public fun Manifest.unitsOn(chip: String?): List<String> {
    val proven = units.filterValues { it.verification == "verified" }.keys
    val npu = proven.filter { chip != null && it.equals(NPU + chip, ignoreCase = true) }
    return npu + proven.filter { it == GPU } + listOf(CPU).filterNot(::failedOn)
}

/**
 * A model that was opened on the best unit that takes it.
 *
 * @property unit what computes it. @property refusals why units that are better do not, by their names.
 */
public class OpenedModel(public val model: Model, public val unit: String, public val refusals: Map<String, Throwable>)

/**
 * Opens a bundle on the best of [Manifest.unitsOn] that takes it, each of them alone: what computes is known.
 *
 * @throws InputException as [Engine.load] does, if the CPU takes it not either.
 */
public fun Engine.loadOnBest(bundle: Bundle, chip: String?): OpenedModel {
    val refusals = LinkedHashMap<String, Throwable>()
    for (unit in bundle.manifest.unitsOn(chip) - CPU) {
        try {
            return OpenedModel(load(bundle, Settings(unit = unit)), unit, refusals)
        } catch (error: Exception) {
            refusals[unit] = error
        } catch (error: LinkageError) { // a library that the phone lacks
            refusals[unit] = error
        }
    }
    return OpenedModel(load(bundle, Settings()), CPU, refusals)
}
