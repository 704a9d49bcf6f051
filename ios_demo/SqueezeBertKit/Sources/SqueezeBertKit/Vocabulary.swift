import Foundation

/// The words of a vocab.txt: line n, counted from 0, is the word with id n.
///
/// - Throws: `InputError`: it is empty, no UTF-8, or starts with a byte order mark.
func vocabulary(_ content: Data) throws -> [String] {
  if content.isEmpty { throw InputError("vocab.txt is empty", allowed: "one word a line") }
  if content.starts(with: [0xEF, 0xBB, 0xBF]) {
    throw InputError("vocab.txt starts with a byte order mark", hint: "save it as UTF-8 without one")
  }
  // Lines are cut in bytes: to String, CR and LF are one character.
  var lines = content.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
  if lines.last?.isEmpty == true { lines.removeLast() }
  return try lines.map { line in
    guard let word = String(validating: line, as: UTF8.self) else { throw InputError("vocab.txt is not UTF-8") }
    var scalars = word.unicodeScalars
    while let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
    return String(scalars)
  }
}

/// The id of each special token.
///
/// - Throws: `InputError`: a word has a line break, or a special token is missing.
func specialIds(_ words: [String], _ wordPiece: WordPiece, _ flags: TokenizerFlags) throws -> [Role: Int32] {
  if let line = words.firstIndex(where: { $0.utf8.contains { $0 == 0x0A || $0 == 0x0D } }) {
    throw InputError("line \(line + 1) of the vocabulary has a line break within", allowed: "lines that end with LF")
  }
  let ids = flags.specialTokens.compactMapValues { wordPiece.id(of: $0) }
  let missing = Role.allCases.filter { ids[$0] == nil }
  if !missing.isEmpty {
    let listed = missing.map { "\(flags.specialTokens[$0] ?? "") (\($0.rawValue))" }.joined(separator: ", ")
    throw InputError("the vocabulary lacks \(listed)", allowed: "a vocabulary with every special token")
  }
  return ids
}

extension String {
  /// Its Unicode scalars.
  var codes: [Code] { unicodeScalars.map(\.value) }
}
