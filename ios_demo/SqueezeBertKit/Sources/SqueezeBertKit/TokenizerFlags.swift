/// What a special token is for.
public enum Role: String, CaseIterable, Sendable, Codable, CodingKeyRepresentable {
  case pad, unk, cls, sep, mask
}

/// How text is cut into words and pieces.
public struct TokenizerFlags: Sendable, Equatable {
  /// Text is lower-cased.
  public let lowerCase: Bool
  /// Combining marks (category Mn) are dropped after canonical decomposition.
  public let stripAccents: Bool
  /// Every CJK ideograph is a word of its own.
  public let cjk: Bool
  /// A longer word, in Unicode scalars, becomes the unknown token.
  public let maxWord: Int
  /// A token for each role.
  public let specialTokens: [Role: String]

  /// Flags, checked.
  ///
  /// - Throws: `InputError`: no length of words, or a role without a token.
  public init(
    lowerCase: Bool, stripAccents: Bool, cjk: Bool, maxWord: Int, specialTokens: [Role: String]
  ) throws {
    if maxWord < 1 { throw InputError("the tokenizer's max_word is \(maxWord)", allowed: "at least 1") }
    let written = specialTokens.values.filter { token in
      token.unicodeScalars.contains { !$0.properties.isWhitespace }
    }
    if written.count != Role.allCases.count {
      let roles = Role.allCases.map(\.rawValue).joined(separator: ", ")
      throw InputError(
        "the tokenizer's special tokens are \(specialTokens)", allowed: "one word for each of \(roles)")
    }
    self.lowerCase = lowerCase
    self.stripAccents = stripAccents
    self.cjk = cjk
    self.maxWord = maxWord
    self.specialTokens = specialTokens
  }
}
