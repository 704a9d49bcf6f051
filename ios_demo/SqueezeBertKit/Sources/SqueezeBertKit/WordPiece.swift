/// One text's tokens without the frame: ids, places in the text (in scalars) and words.
struct Pieces {
  private(set) var ids: [Int32] = []
  private(set) var starts: [Int] = []
  private(set) var ends: [Int] = []
  private(set) var words: [Int] = []

  var count: Int { ids.count }

  mutating func append(_ id: Int32, from start: Int, to end: Int, word: Int) {
    ids.append(id)
    starts.append(start)
    ends.append(end)
    words.append(word)
  }
}

/// Cuts words into the longest pieces of a vocabulary, from the left.
struct WordPiece: Sendable {
  private var trie = Trie()
  private let first: Int32
  private let inside: Int32

  /// The words by id.
  ///
  /// - Throws: `InputError`: a word is there twice.
  init(_ vocabulary: [String]) throws {
    first = trie.newNode()
    inside = trie.newNode()
    for (id, word) in vocabulary.enumerated() {
      let (root, codes) = place(word)
      if let before = trie.insert(codes, at: root, id: Int32(id)) {
        throw InputError(
          "the vocabulary has \"\(word)\" twice: lines \(before + 1) and \(id + 1)", allowed: "every word once")
      }
    }
  }

  /// The id of a word of the vocabulary as it is written there.
  func id(of word: String) -> Int32? {
    let (root, codes) = place(word)
    var node = root
    for code in codes {
      guard let next = trie.step(node, code) else { return nil }
      node = next
    }
    return trie.id(node)
  }

  /// Ids and ends of a word's pieces; nil if some place has none.
  func pieces(of word: ArraySlice<Placed>) -> [(id: Int32, end: Int)]? {
    var found: [(id: Int32, end: Int)] = []
    var start = word.startIndex
    while start < word.endIndex {
      var node = start == word.startIndex ? first : inside
      var best: (id: Int32, end: Int)?
      for index in start..<word.endIndex {
        guard let next = trie.step(node, word[index].code) else { break }
        node = next
        if let id = trie.id(node) { best = (id, index + 1) }
      }
      guard let best else { return nil }
      found.append(best)
      start = best.end
    }
    return found
  }

  /// No word of a text starts with ##: that is punctuation, and so two words.
  private func place(_ word: String) -> (root: Int32, codes: [Code]) {
    let codes = word.codes
    return codes.starts(with: continues) ? (inside, Array(codes.dropFirst(continues.count))) : (first, codes)
  }
}

private let continues = "##".codes

/// Words by scalars: String's own equality would hold canonically equivalent words to be one.
private struct Trie: Sendable {
  private var edges: [UInt64: Int32] = [:]  // node and scalar
  private var ids: [Int32] = []  // of the word that ends at a node; -1 where none does

  mutating func newNode() -> Int32 {
    ids.append(-1)
    return Int32(ids.count - 1)
  }

  /// Adds a word; gives the id that it already has, if so.
  mutating func insert(_ codes: [Code], at root: Int32, id: Int32) -> Int32? {
    var node = root
    for code in codes {
      let edge = Self.edge(node, code)
      if let next = edges[edge] {
        node = next
      } else {
        node = newNode()
        edges[edge] = node
      }
    }
    if let before = self.id(node) { return before }
    ids[Int(node)] = id
    return nil
  }

  func step(_ node: Int32, _ code: Code) -> Int32? { edges[Self.edge(node, code)] }

  func id(_ node: Int32) -> Int32? { ids[Int(node)] < 0 ? nil : ids[Int(node)] }

  private static func edge(_ node: Int32, _ code: Code) -> UInt64 { UInt64(node) << 21 | UInt64(code) }
}
