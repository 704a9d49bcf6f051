package io.squeezebert.edge.demo

import android.os.Bundle
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Spinner

/** A list to choose a bundle from, which keeps what is chosen when bundles come or the screen is made anew. */
class BundleChoice(private val spinner: Spinner) {
    private var bundles: List<Shelved> = emptyList()
    private var wanted: String? = null

    /** The bundle that is chosen; null where there is none. */
    val chosen: Shelved?
        get() = bundles.getOrNull(spinner.selectedItemPosition)

    fun show(found: List<Shelved>) {
        if (found == bundles) return
        val key = chosen?.key ?: wanted
        bundles = found
        val adapter = ArrayAdapter(spinner.context, android.R.layout.simple_spinner_item, found.map { it.name })
        adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
        spinner.adapter = adapter
        spinner.setSelection(found.indexOfFirst { it.key == key }.coerceAtLeast(0))
    }

    /** Has [action] called whenever another bundle is chosen. */
    fun onChosen(action: () -> Unit) {
        spinner.onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) = action()

            override fun onNothingSelected(parent: AdapterView<*>?) = action()
        }
    }

    fun save(state: Bundle) = state.putString(KEY, chosen?.key ?: wanted)

    fun restore(state: Bundle?) {
        spinner.isSaveEnabled = false // a position says nothing once the list has changed
        wanted = state?.getString(KEY)
    }

    private companion object {
        const val KEY = "bundle"
    }
}
