package io.squeezebert.edge

/** What a model says of a text, as its task reads it. Places are in code points: see [utf16Index]. */
public sealed interface Answer

/** The likeliest class, its probability and those of all. */
public data class LabelAnswer(val label: String, val score: Float, val scores: Map<String, Float>) : Answer

/** The classes that hold, where several may, and the probability of each. */
public data class LabelsAnswer(val labels: List<String>, val scores: Map<String, Float>) : Answer

/** The number or numbers of a regression. */
public data class NumberAnswer(val values: List<Float>) : Answer

/** The best of several endings: its index, its text and the probability of each. */
public data class ChoiceAnswer(val choice: Int, val ending: String, val scores: List<Float>) : Answer

/** A class for each word of the text; those past the last token are left out. */
public data class WordsAnswer(val words: List<TaggedWord>) : Answer

/** A word as it stands in the text, and its likeliest class. */
public data class TaggedWord(
    val word: String,
    val start: Int,
    val end: Int,
    val label: String,
    val score: Float,
)

/** The part of the context that answers the question; empty if none was found. */
public data class SpanAnswer(val text: String, val start: Int, val end: Int, val score: Float) : Answer

/** What stands behind each mask token. */
public data class MasksAnswer(val masks: List<Mask>) : Answer

/** A mask token's place, and the likeliest tokens for it, best first. */
public data class Mask(val start: Int, val end: Int, val candidates: List<Candidate>)

/** A token of the vocabulary and its probability. */
public data class Candidate(val token: String, val score: Float)

/** The bare model's outputs, by name: of each token one after the other, or of the text. */
public class FeaturesAnswer(public val tokens: List<String>, public val outputs: Map<String, FloatArray>) : Answer
