/// Finds special tokens that are written in a text; of several at one place the longest.
struct SpecialTokens: Sendable {
  struct Token: Sendable {
    let codes: [Code]
    let id: Int32
  }

  private let longestFirst: [Token]

  init(_ tokens: [Token]) {
    longestFirst = tokens.sorted { $0.codes.count > $1.codes.count }
  }

  /// The token that stands at `index`; nil if none does.
  func at(_ index: Int, of text: [Code]) -> Token? {
    longestFirst.first { $0.codes[0] == text[index] && text[index...].starts(with: $0.codes) }
  }
}
