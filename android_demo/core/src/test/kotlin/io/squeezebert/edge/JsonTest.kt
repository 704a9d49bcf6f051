package io.squeezebert.edge

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class JsonTest {
    @Test
    fun `all of JSON is read`() {
        val text = " {\"a\": [1, -0.5, 2e3, true, false, null, []], \"\\u00e9\\n\\ud83d\\ude00/\": {\"b\": \"\\\"\"}} "
        val expected = mapOf(
            "a" to listOf(1L, -0.5, 2000.0, true, false, null, emptyList<Any>()),
            "\u00e9\n\uD83D\uDE00/" to mapOf("b" to "\""),
        )
        assertEquals(expected, readJson(text))
        assertEquals(expected, readJson(writeJson(expected)))
    }

    @Test
    fun `what is no JSON is refused`() {
        val wrong = listOf(
            "", "{", "[1,]", "{\"a\":1,}", "{a:1}", "01", "1.", ".5", "+1", "NaN", "Infinity", "1e999", "tru", "'a'",
            "\"a", "\"\t\"", "\"\\x\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\udc00\\ud800\"", "1 2", "{\"a\":1,\"a\":2}",
            "99999999999999999999", "[".repeat(100) + "]".repeat(100), "\u00a01",
        )
        for (text in wrong) assertTrue(text, "not JSON" in refusal { readJson(text) })
    }
}
