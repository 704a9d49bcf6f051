package io.squeezebert.edge

/**
 * A text, a bundle or a call that cannot be worked with, in words for whoever can mend it.
 *
 * @param problem what is wrong.
 * @param allowed what would be right.
 * @param hint what to do next.
 */
public class InputException(
    problem: String,
    allowed: String? = null,
    hint: String? = null,
) : Exception(
    listOfNotNull(problem, allowed?.let { "allowed: $it" }, hint?.let { "next: $it" }).joinToString("\n"),
)
