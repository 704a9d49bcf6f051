package io.squeezebert.edge.demo

import android.os.Bundle
import android.text.Spannable
import android.text.SpannableString
import android.text.style.BackgroundColorSpan
import android.view.View
import android.widget.EditText
import android.widget.Spinner
import android.widget.TextView
import io.squeezebert.edge.SpanAnswer
import io.squeezebert.edge.utf16Index

/** A question over a text, answered by a part of it. */
class QuestionActivity : Screen() {
    private val question by lazy { findViewById<EditText>(R.id.question) }
    private val context by lazy { findViewById<EditText>(R.id.context) }
    private val choice by lazy { BundleChoice(findViewById<Spinner>(R.id.bundle)) }

    /** What was asked before the system ended the app, to be asked again. */
    private var lost: List<String> = emptyList()

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.question)
        choice.restore(savedInstanceState)
        lost = savedInstanceState?.getStringArrayList(ASKED).orEmpty()
        findViewById<View>(R.id.answer).setOnClickListener { ask(listOf("${question.text}", "${context.text}")) }
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        choice.save(outState)
        outState.putStringArrayList(ASKED, ArrayList(app.questions.state.value.texts))
    }

    override fun watch() {
        app.library.state.shown { library ->
            choice.show(library.bundles.filter { it.answersQuestions })
            enable()
            if (lost.isNotEmpty() && choice.chosen != null) {
                if (app.questions.state.value.texts.isEmpty()) ask(lost)
                lost = emptyList()
            }
        }
        app.questions.state.shown { show(it) }
    }

    private fun ask(texts: List<String>) {
        choice.chosen?.let { app.questions.ask(listOf(it), texts) }
    }

    private fun show(state: AnswersState) {
        enable()
        val asked = state.bundles.firstOrNull()
        val outcome = asked?.outcome
        val answered = ((outcome as? Outcome.Answered)?.answer as? SpanAnswer)?.takeIf { it.text.isNotEmpty() }
        findViewById<TextView>(R.id.highlighted).text = answered?.let { marked(state.texts[1], it) }
        findViewById<TextView>(R.id.message).say(
            when (outcome) {
                null -> null
                is Outcome.Waiting -> getString(R.string.answering)
                is Outcome.Failed -> words.of(outcome.error)
                is Outcome.Answered -> {
                    val latency = words.speed(outcome)
                    resources.getQuantityString(
                        R.plurals.question_answered,
                        outcome.rows,
                        words.of(outcome.answer),
                        latency,
                        outcome.rows,
                        asked.bundle.name,
                    )
                }
            },
        )
    }

    /** The context with the answer marked, where there is one; its places are in code points. */
    private fun marked(context: String, answer: SpanAnswer): CharSequence {
        val (start, end) = listOf(answer.start, answer.end).map { context.utf16Index(it) }
        return SpannableString(context).apply {
            setSpan(BackgroundColorSpan(getColor(R.color.mark)), start, end, Spannable.SPAN_EXCLUSIVE_EXCLUSIVE)
        }
    }

    private fun enable() {
        findViewById<View>(R.id.answer).isEnabled = choice.chosen != null && !app.questions.state.value.isBusy
    }

    private companion object {
        const val ASKED = "asked"
    }
}
