/// Cuts text into words as BERT does: cleaned, CJK apart, decomposed and rid of accents, lower-cased, parted by white
/// space and punctuation. It equals `BertNormalizer` and `BertPreTokenizer` of the `tokenizers` library, offsets too.
struct WordCutter {
  /// The scalars of all words, one word after the other.
  private(set) var scalars: [Placed] = []
  /// Where each word ends among `scalars`.
  private(set) var ends: [Int] = []

  private let flags: TokenizerFlags
  private var marks = CombiningMarks()

  /// Cuts a stretch of a text; a source is a place in the whole text.
  init(_ text: ArraySlice<Code>, flags: TokenizerFlags) {
    self.flags = flags
    for source in text.indices { clean(text[source], source) }
    flush()
    endWord()
  }

  private mutating func clean(_ code: Code, _ source: Int) {
    let kind = UnicodeData.kind(code)
    if kind.contains(.dropped) { return }
    if kind.contains(.space) {
      decompose(space, source)
    } else if kind.contains(.cjk), flags.cjk {
      decompose(space, source)
      decompose(code, source)
      decompose(space, source)
    } else {
      decompose(code, source)
    }
  }

  private mutating func decompose(_ code: Code, _ source: Int) {
    if !flags.stripAccents {
      lower(code, source)
    } else if code < UnicodeData.firstDecomposed {
      flush()
      strip(Placed(code: code, source: source))
    } else if let parts = UnicodeData.decomposition(code) {
      for index in parts.indices { order(parts[index], source, leads: index == parts.startIndex) }
    } else {
      order(code, source, leads: true)
    }
  }

  private mutating func order(_ code: Code, _ source: Int, leads: Bool) {
    if UnicodeData.rank(code) > 0 {
      marks.wait(code, source: source, leads: leads)
    } else {
      flush()
      strip(marks.starter(code, source: source, leads: leads))
    }
  }

  private mutating func flush() {
    if marks.isEmpty { return }
    for placed in marks.take() { strip(placed) }
  }

  private mutating func strip(_ placed: Placed) {
    if !UnicodeData.kind(placed.code).contains(.mark) { lower(placed.code, placed.source) }
  }

  private mutating func lower(_ code: Code, _ source: Int) {
    if flags.lowerCase, let lowered = UnicodeData.lowerCase[code] {
      for code in lowered { part(code, source) }
    } else {
      part(code, source)
    }
  }

  private mutating func part(_ code: Code, _ source: Int) {
    let kind = UnicodeData.kind(code)
    if kind.contains(.space) { return endWord() }
    let alone = kind.contains(.punctuation)
    if alone { endWord() }
    scalars.append(Placed(code: code, source: source))
    if alone { endWord() }
  }

  private mutating func endWord() {
    if scalars.count > (ends.last ?? 0) { ends.append(scalars.count) }
  }
}

private let space: Code = 0x20
