package io.squeezebert.edge.demo

import android.content.Intent
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.CheckBox
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.TableLayout
import android.widget.TableRow
import android.widget.TextView

/** Bundles beside each other on one text: what each answers, and how long it takes. */
class MainActivity : Screen() {
    private val text by lazy { findViewById<EditText>(R.id.text) }
    private val second by lazy { findViewById<EditText>(R.id.second_text) }
    private val choices by lazy { findViewById<LinearLayout>(R.id.bundles) }
    private val answer by lazy { findViewById<Button>(R.id.answer) }
    private var unchecked: Set<String> = emptySet()

    /** What was asked before the system ended the app, to be asked again. */
    private var lost: List<String> = emptyList()

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        unchecked = savedInstanceState?.getStringArrayList(UNCHECKED).orEmpty().toSet()
        lost = savedInstanceState?.getStringArrayList(ASKED).orEmpty()
        answer.setOnClickListener { ask(texts()) }
        findViewById<View>(R.id.add_bundle).setOnClickListener { pick() }
        findViewById<View>(R.id.questions).setOnClickListener { show(QuestionActivity::class.java) }
        findViewById<View>(R.id.benchmark).setOnClickListener { show(BenchmarkActivity::class.java) }
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putStringArrayList(UNCHECKED, ArrayList(unchecked))
        outState.putStringArrayList(ASKED, ArrayList(app.answers.state.value.texts))
    }

    override fun watch() {
        app.library.state.shown { show(it) }
        app.answers.state.shown { show(it) }
    }

    private fun show(library: LibraryState) {
        choices.removeAllViews()
        library.bundles.filter { !it.answersQuestions }.forEach { choices.addView(choice(it)) }
        val questions = library.bundles.any { it.answersQuestions }
        findViewById<View>(R.id.questions).visibility = if (questions) View.VISIBLE else View.GONE
        findViewById<View>(R.id.benchmark).isEnabled = library.bundles.isNotEmpty()
        findViewById<View>(R.id.add_bundle).isEnabled = !library.isBusy
        findViewById<TextView>(R.id.library_message).say(
            when {
                library.error != null -> words.of(library.error)
                library.isBusy -> getString(R.string.copying)
                library.bundles.isEmpty() -> getString(R.string.no_bundles)
                else -> null
            },
        )
        enable()
        if (lost.isNotEmpty() && library.bundles.isNotEmpty()) {
            if (app.answers.state.value.texts.isEmpty()) ask(lost)
            lost = emptyList()
        }
    }

    private fun choice(bundle: Shelved) = (layoutInflater.inflate(R.layout.choice, choices, false) as CheckBox).apply {
        text = getString(R.string.bundle, bundle.name, bundle.manifest.task, bundle.manifest.exactPrecision)
        isSaveEnabled = false // which are checked is saved by name, since the list may change
        isChecked = bundle.key !in unchecked
        setOnCheckedChangeListener { _, checked ->
            unchecked = if (checked) unchecked - bundle.key else unchecked + bundle.key
            enable()
        }
    }

    private fun show(answers: AnswersState) {
        val table = findViewById<TableLayout>(R.id.answers)
        table.removeViews(1, table.childCount - 1)
        answers.bundles.forEach { table.addView(row(it)) }
        table.visibility = if (answers.bundles.isEmpty()) View.GONE else View.VISIBLE
        findViewById<TextView>(R.id.answers_message).say(
            when {
                answers.isBusy -> getString(R.string.answering)
                answers.bundles.isEmpty() -> null
                else -> getString(R.string.answered, answers.texts.joinToString(" / "))
            },
        )
        enable()
    }

    private fun row(asked: AskedBundle) = TableRow(this).apply {
        val outcome = asked.outcome
        val answer = when (outcome) {
            is Outcome.Answered -> words.of(outcome.answer)
            is Outcome.Failed -> words.of(outcome.error)
            is Outcome.Waiting -> getString(R.string.waiting)
        }
        val latency = if (outcome is Outcome.Answered) words.speed(outcome) else ""
        for (content in listOf(asked.bundle.name, answer, latency, words.megabytes(asked.bundle.bytes))) {
            addView((layoutInflater.inflate(R.layout.cell, this, false) as TextView).apply { text = content })
        }
    }

    private fun enable() {
        answer.isEnabled = checked().isNotEmpty() && !app.answers.state.value.isBusy
    }

    private fun checked(): List<Shelved> =
        app.library.state.value.bundles.filter { !it.answersQuestions && it.key !in unchecked }

    /** The text, and each line of the second field: a pair's other half, or endings to choose among. */
    private fun texts(): List<String> = listOf("${text.text}") + second.text.lines().filter { it.isNotBlank() }

    private fun ask(texts: List<String>) = app.answers.ask(checked(), texts)

    private fun show(screen: Class<out Screen>) = startActivity(Intent(this, screen))

    private fun pick() {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*")
            .putExtra(Intent.EXTRA_MIME_TYPES, arrayOf("application/zip", "application/octet-stream"))
        startOrSay(intent, PICK, findViewById(R.id.library_message))
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        super.onActivityResult(requestCode, resultCode, data)
        val uri = data?.data ?: return
        if (requestCode == PICK && resultCode == RESULT_OK) app.library.add(contentResolver, uri)
    }

    private companion object {
        const val UNCHECKED = "unchecked"
        const val ASKED = "asked"
        const val PICK = 1
    }
}
