/// What is shortened at its end when tokens are too many: the longer text first, or only one of them.
public enum Truncation: String, Sendable, Codable {
  case longest, first, second
}

/// BERT's WordPiece over a vocabulary. Ids, token types and offsets equal those of squeezebert-edge in Python, which are
/// those of the `tokenizers` library.
public struct Tokenizer: Sendable {
  /// The words; a word's position is its id.
  public let vocabulary: [String]
  /// How text is cut.
  public let flags: TokenizerFlags

  private let wordPiece: WordPiece
  private let ids: [Role: Int32]
  private let specialTokens: SpecialTokens

  /// A tokenizer of these words.
  ///
  /// - Throws: `InputError`: the vocabulary doubles a word or lacks a special token.
  public init(vocabulary: [String], flags: TokenizerFlags) throws {
    self.vocabulary = vocabulary
    self.flags = flags
    let wordPiece = try WordPiece(vocabulary)
    let ids = try specialIds(vocabulary, wordPiece, flags)
    self.wordPiece = wordPiece
    self.ids = ids
    specialTokens = SpecialTokens(
      ids.map { role, id in SpecialTokens.Token(codes: vocabulary[Int(id)].codes, id: id) })
  }

  /// The id of a special token.
  public func id(_ role: Role) -> Int32 { ids[role]! }  // init made sure of every role

  /// One text or a pair, as at most `maxLength` tokens, the frame's two or three included.
  ///
  /// - Throws: `InputError`: there is no way to fit it into `maxLength`.
  public func encode(
    _ text: String, pair: String? = nil, maxLength: Int, truncate: Truncation = .longest
  ) throws -> Encoding {
    let first = pieces(text)
    let second = pair.map { pieces($0) }
    let counts = Counts(first: first.count, second: second?.count ?? 0)
    let room = try room(maxLength, paired: pair != nil)
    let kept = try counts.within(room, truncate, paired: pair != nil)
    return framed(first, kept.first, second, 0..<kept.second, truncated: kept != counts)
  }

  /// A question with its context, as overlapping windows where the context is too long for one.
  ///
  /// - Parameters:
  ///   - maxLength: tokens of a window, the question and the frame included.
  ///   - docStride: tokens of the context that two neighbouring windows share.
  /// - Throws: `InputError`: the question leaves no room for context, or the overlap leaves no step.
  public func windows(question: String, context: String, maxLength: Int, docStride: Int) throws -> [Encoding] {
    let first = pieces(question)
    let second = pieces(context)
    let room = try room(maxLength, paired: true) - first.count
    if room < 1 {
      throw InputError(
        "the question's \(first.count) tokens fill a window of \(maxLength): no room for context",
        allowed: "questions of at most \(maxLength - 4) tokens",
        hint: "shorten the question or take a longer length")
    }
    let many = second.count > room
    if docStride < 0 || (many && docStride >= room) {
      throw InputError(
        "a doc_stride of \(docStride) does not fit windows with room for \(room) tokens of context",
        allowed: "0 to \(room - 1)")
    }
    let step = room - docStride
    // The first window that reaches the context's end is the last one.
    let starts = many ? Array(stride(from: 0, to: second.count - room + step, by: step)) : [0]
    return starts.map { start in
      framed(first, first.count, second, start..<min(start + room, second.count), truncated: many)
    }
  }

  private func pieces(_ text: String) -> Pieces {
    let codes = text.codes
    var found = Pieces()
    var word = 0
    var from = 0  // of what was not cut yet
    var index = 0
    while index < codes.count {
      guard let token = specialTokens.at(index, of: codes) else {
        index += 1
        continue
      }
      cut(codes[from..<index], &word, into: &found)
      from = index + token.codes.count
      found.append(token.id, from: index, to: from, word: word)
      word += 1
      index = from
    }
    cut(codes[from...], &word, into: &found)
    return found
  }

  private func cut(_ text: ArraySlice<Code>, _ word: inout Int, into found: inout Pieces) {
    let cutter = WordCutter(text, flags: flags)
    let scalars = cutter.scalars
    var start = 0
    for end in cutter.ends {
      let known = end - start <= flags.maxWord ? wordPiece.pieces(of: scalars[start..<end]) : nil
      for piece in known ?? [(id(.unk), end)] {
        found.append(piece.id, from: scalars[start].source, to: scalars[piece.end - 1].source + 1, word: word)
        start = piece.end
      }
      word += 1
    }
  }

  private func framed(
    _ first: Pieces, _ firstCount: Int, _ second: Pieces?, _ range: Range<Int>, truncated: Bool
  ) -> Encoding {
    var encoding = Encoding(truncated: truncated)
    encoding.append(special: id(.cls), type: 0)
    encoding.append(first, 0..<firstCount, sequence: 0)
    encoding.append(special: id(.sep), type: 0)
    if let second {
      encoding.append(second, range, sequence: 1)
      encoding.append(special: id(.sep), type: 1)
    }
    return encoding
  }
}

/// Tokens left beside the frame.
private func room(_ maxLength: Int, paired: Bool) throws -> Int {
  let frame = paired ? 3 : 2
  if maxLength < frame {
    throw InputError("a max_length of \(maxLength) has no room for the special tokens", allowed: "at least \(frame)")
  }
  return maxLength - frame
}

/// Tokens of the first and of the second text.
private struct Counts: Equatable {
  var first: Int
  var second: Int

  /// How many of each are kept.
  func within(_ room: Int, _ truncate: Truncation, paired: Bool) throws -> Counts {
    if truncate == .second, !paired {
      throw InputError("a second text is to be truncated, and there is none", allowed: "longest or first")
    }
    let excess = first + second - room
    if excess <= 0 { return self }
    if room == 0 { return Counts(first: 0, second: 0) }  // the library then keeps the frame alone
    if truncate == .longest { return longestFirst(room) }
    if excess >= (truncate == .first ? first : second) {
      throw InputError(
        "shortening only the \(truncate.rawValue) text cannot bring \(first + second) tokens to \(room)",
        hint: "truncate the longest, or take a longer max_length")
    }
    return truncate == .first
      ? Counts(first: first - excess, second: second) : Counts(first: first, second: second - excess)
  }

  /// `truncate_encodings` of the library's utils/truncation.rs: an odd token goes to the longer text.
  private func longestFirst(_ room: Int) -> Counts {
    var short = min(first, second)
    var long = short > room ? short : max(short, room - short)
    if short + long > room {
      short = room / 2
      long = room - short
    }
    return first <= second ? Counts(first: short, second: long) : Counts(first: long, second: short)
  }
}
