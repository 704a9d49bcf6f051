/// One text or pair, framed as `[CLS] first [SEP] second [SEP]`; every array has one entry per token.
public struct Encoding: Sendable, Equatable {
  /// Rows of the vocabulary.
  public private(set) var ids: [Int32] = []
  /// 0 for the first text and its [CLS] and [SEP], 1 for the second and its [SEP].
  public private(set) var tokenTypes: [Int32] = []
  /// Where in its text the token starts, in Unicode scalars; 0 for the frame.
  public private(set) var starts: [Int] = []
  /// Where it ends; 0 for the frame.
  public private(set) var ends: [Int] = []
  /// 0 first text, 1 second text, nil for the frame.
  public private(set) var sequences: [Int?] = []
  /// The token's word in its text, counted from 0; nil for the frame.
  public private(set) var words: [Int?] = []
  /// Whether not all of the text is here.
  public let truncated: Bool

  /// How many tokens there are, the frame's included.
  public var count: Int { ids.count }

  init(truncated: Bool) { self.truncated = truncated }

  mutating func append(special id: Int32, type: Int32) {
    ids.append(id)
    tokenTypes.append(type)
    starts.append(0)
    ends.append(0)
    sequences.append(nil)
    words.append(nil)
  }

  mutating func append(_ pieces: Pieces, _ range: Range<Int>, sequence: Int) {
    ids += pieces.ids[range]
    tokenTypes += repeatElement(Int32(sequence), count: range.count)
    starts += pieces.starts[range]
    ends += pieces.ends[range]
    sequences += [Int?](repeating: sequence, count: range.count)
    words += pieces.words[range].map { word -> Int? in word }
  }
}

extension String {
  /// The range in this string of places counted in Unicode scalars.
  public func range(ofScalars places: Range<Int>) -> Range<String.Index> {
    let start = unicodeScalars.index(startIndex, offsetBy: places.lowerBound)
    return start..<unicodeScalars.index(start, offsetBy: places.count)
  }

  /// What stands between two places counted in Unicode scalars.
  func between(_ start: Int, _ end: Int) -> String { String(unicodeScalars[range(ofScalars: start..<end)]) }
}
