package io.squeezebert.edge.demo

import io.squeezebert.edge.Manifest
import io.squeezebert.edge.Role

private val SENTENCES = listOf(
    "A gorgeous, witty, seductive film.",
    "Too slow for a younger crowd, too shallow for an older one.",
    "It is not what is on the screen that makes it work, but what is left to the imagination of those who watch.",
    "Flat.",
    "The plot is old, the jokes are older, and yet the two leads make every minute of it a pleasure.",
    "I had hoped for more than two hours of explosions.",
    "A quiet film about loud people.",
    "One of the best of the year, if not of the decade, and the only one that made me want to learn the cello.",
)

private const val CONTEXT =
    "SqueezeBERT replaces most of the fully connected layers of BERT with grouped convolutions. On a Pixel 3 it runs " +
        "four times faster than BERT-base, while it stays competitive on the GLUE tasks. It was presented in 2020."

/** Texts to measure a bundle on, each as [io.squeezebert.edge.Predictor] takes it. */
internal fun sampleTexts(manifest: Manifest): List<List<String>> = when (manifest.task) {
    "question-answering" -> listOf(
        listOf("What replaces the fully connected layers?", CONTEXT),
        listOf("On which phone was it measured?", CONTEXT),
        listOf("When was it presented?", CONTEXT),
    )
    "multiple-choice" -> SENTENCES.map { listOf(it, "We went home early.", "We stayed to the end.") }
    "fill-mask" -> SENTENCES.map { listOf("$it ${manifest.tokenizer.specialTokens.getValue(Role.MASK)}") }
    else -> SENTENCES.map { listOf(it) }
}
