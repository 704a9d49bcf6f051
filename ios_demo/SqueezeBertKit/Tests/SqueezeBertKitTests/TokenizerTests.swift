import XCTest

@testable import SqueezeBertKit

/// What tests/demos/test_swift_kit.py cannot compare with Python; that compares ids and offsets of thousands of texts.
final class TokenizerTests: XCTestCase {
  private let words = "[PAD] [UNK] [CLS] [SEP] [MASK] the film is good bad i it".split(separator: " ").map(String.init)

  private func tokenizer(_ words: [String]) throws -> Tokenizer {
    let tokens = Dictionary(uniqueKeysWithValues: Role.allCases.map { ($0, "[\($0.rawValue.uppercased())]") })
    let flags = try TokenizerFlags(
      lowerCase: true, stripAccents: true, cjk: true, maxWord: 100, specialTokens: tokens)
    return try Tokenizer(vocabulary: words, flags: flags)
  }

  func testOffsetsAreInScalarsAndCanBeHadAsIndices() throws {
    let text = "\u{1F600} good e\u{301}\r\n bad"
    let encoding = try tokenizer(words).encode(text, maxLength: 9)
    XCTAssertEqual(encoding.starts, [0, 0, 2, 7, 12, 0])
    XCTAssertEqual(encoding.ends, [0, 1, 6, 8, 15, 0])
    XCTAssertEqual(text[text.range(ofScalars: 12..<15)], "bad")
  }

  func testCanonicallyEquivalentWordsAreTwo() throws {
    let both = try tokenizer(words + ["\u{E9}", "e\u{301}"])
    XCTAssertEqual(both.vocabulary.count, words.count + 2)
  }

  func testAVocabularyThatIsNotUsableIsRefused() {
    XCTAssertThrowsError(try tokenizer(words + ["film"])) { XCTAssertTrue("\($0)".contains("lines 7 and 13")) }
    XCTAssertThrowsError(try tokenizer(words.filter { $0 != "[MASK]" })) {
      XCTAssertTrue("\($0)".contains("lacks [MASK] (mask)"))
    }
    XCTAssertThrowsError(try vocabulary(Data())) { XCTAssertTrue("\($0)".contains("is empty")) }
    XCTAssertThrowsError(try vocabulary(Data([0xEF, 0xBB, 0xBF, 0x61]))) {
      XCTAssertTrue("\($0)".contains("byte order mark"))
    }
    XCTAssertEqual(
      try vocabulary(Data("a \t\u{2028}\n\n##o\r\n\u{1C}x\u{1F}\n".utf8)), ["a", "", "##o", "\u{1C}x\u{1F}"])
  }

  func testAHundredThousandMarksOnOneLetterTakeNoQuadraticTime() throws {
    let text = "it" + String(repeating: "\u{301}\u{323}", count: 50_000)
    let encoding = try tokenizer(words).encode(text, maxLength: 9)
    XCTAssertEqual(encoding.ids, [2, 11, 3])
    XCTAssertEqual(encoding.ends[1], 2)
  }
}
