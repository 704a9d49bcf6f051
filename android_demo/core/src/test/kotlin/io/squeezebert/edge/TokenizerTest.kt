package io.squeezebert.edge

import java.util.Locale
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** What tests/demos/test_android_core.py cannot compare with Python; that compares ids and offsets of thousands of texts. */
class TokenizerTest {
    private val words = TinyBundle.words
    private val flags = TinyBundle.flags
    private val tokenizer = TinyBundle.tokenizer

    private fun tokens(encoding: Encoding) = encoding.ids.joinToString(" ") { words[it] }

    @Test
    fun `lower case is Unicode's in every locale`() {
        val before = Locale.getDefault()
        try {
            for (tag in listOf("tr", "az", "lt", "en")) {
                Locale.setDefault(Locale.forLanguageTag(tag))
                val own = Tokenizer(words, flags)
                assertEquals("[CLS] film i it [SEP]", tokens(own.encode("FILM I \u0130T", maxLength = 9)))
                assertEquals(listOf("pad", "unk", "cls", "sep", "mask"), Role.entries.map { it.key })
            }
        } finally {
            Locale.setDefault(before)
        }
    }

    @Test
    fun `offsets are in code points and can be had in UTF-16`() {
        val text = "\uD83D\uDE00 good \uD835\uDC9C bad"
        val encoding = tokenizer.encode(text, maxLength = 9)
        assertEquals("[CLS] [UNK] good [UNK] bad [SEP]", tokens(encoding))
        assertArrayEquals(intArrayOf(0, 0, 2, 7, 9, 0), encoding.starts)
        assertArrayEquals(intArrayOf(0, 1, 6, 8, 12, 0), encoding.ends)
        assertEquals("bad", text.between(9, 12))
        assertEquals(text.indexOf("bad"), text.utf16Index(9))
    }

    @Test
    fun `a lone surrogate is refused with its place`() {
        for (text in listOf("\uD800", "a\uDFFFb", "\uDE00\uD83D", "\uD83D\uDE00a\uDC80")) {
            assertTrue("lone surrogate" in refusal { tokenizer.encode(text, maxLength = 9) })
        }
        assertTrue("U+DC80, at position 2" in refusal { tokenizer.encode("\uD83D\uDE00a\uDC80", maxLength = 9) })
    }

    @Test
    fun `a vocabulary that is not usable is refused`() {
        assertTrue("\"film\" twice: lines 7 and 23" in refusal { Tokenizer(words + "film", flags) })
        assertTrue("lacks [MASK] (mask)" in refusal { Tokenizer(words - "[MASK]", flags) })
        assertTrue("is empty" in refusal { vocabularyOf("") })
        assertTrue("byte order mark" in refusal { vocabularyOf("\ufeff[PAD]\n") })
        assertTrue("line break" in refusal { Tokenizer(vocabularyOf(words.joinToString("\r")), flags) })
        assertEquals(listOf("a", "", "##o", "\u001cx\u001f"), vocabularyOf("a \t\u2028\n\n##o\r\n\u001cx\u001f\n"))
    }

    @Test
    fun `a hundred thousand marks on one letter take no quadratic time`() {
        val marks = buildString { repeat(50_000) { append("\u0301\u0323") } }
        val encoding = tokenizer.encode("it$marks", maxLength = 9)
        assertEquals("[CLS] it [SEP]", tokens(encoding))
        assertEquals(2, encoding.ends[1])
    }

    @Test
    fun `threads share a tokenizer`() {
        val expected = tokens(tokenizer.encode("The film is good", maxLength = 9))
        val found = (1..8).toList().parallelStream().map { number ->
            (1..500).map { tokens(tokenizer.encode("The film is good", maxLength = 9)) }.toSet() to number
        }.toArray()
        assertTrue(found.all { (it as Pair<*, *>).first == setOf(expected) })
    }
}
