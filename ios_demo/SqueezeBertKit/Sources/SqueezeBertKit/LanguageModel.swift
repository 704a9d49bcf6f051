/// The word behind each mask token.
public struct FillMask: Head {
  private static let candidatesShown = 5

  public var perToken: Set<String> { ["logits"] }

  /// One row; an `InputError` if no mask token is left in it.
  public func encode(
    _ example: Example, _ tokenizer: Tokenizer, maxLength: Int, docStride: Int
  ) throws -> [Encoding] {
    let encoding = try tokenizer.encode(example.text, pair: example.pair, maxLength: maxLength)
    _ = try masked(encoding, tokenizer)
    return [encoding]
  }

  public func answer(_ example: Example, _ rows: [Row], _ tokenizer: Tokenizer) throws -> Answer {
    let encoding = rows[0].encoding
    let words = tokenizer.vocabulary.count
    return .masks(
      try masked(encoding, tokenizer).map { token in
        let all = try rows[0].output("logits", token: token)
        // A padded head has more rows than the vocabulary has words.
        if all.count < words { throw InputError("\(all.count) logits for a token", allowed: "at least \(words)") }
        let logits = Array(all.prefix(words))
        let scores = softmax(logits)
        let candidates = largest(logits, Self.candidatesShown).map {
          Scored(name: tokenizer.vocabulary[$0], score: scores[$0])
        }
        return Mask(start: encoding.starts[token], end: encoding.ends[token], candidates: candidates)
      })
  }

  private func masked(_ encoding: Encoding, _ tokenizer: Tokenizer) throws -> [Int] {
    let mask = tokenizer.id(.mask)
    let tokens = encoding.ids.indices.filter { encoding.ids[$0] == mask }
    if tokens.isEmpty {
      let token = tokenizer.vocabulary[Int(mask)]
      let place = encoding.truncated ? "within the longest length" : "in the text"
      throw InputError("no \(token) \(place)", allowed: "a text with \(token) in it")
    }
    return tokens
  }
}

/// The bare model: hidden states and the pooled first one.
public struct FeatureExtraction: Head {
  public var perToken: Set<String> { ["last_hidden_state"] }

  public func answer(_ example: Example, _ rows: [Row], _ tokenizer: Tokenizer) throws -> Answer {
    let tokens = rows[0].encoding.ids.map { tokenizer.vocabulary[Int($0)] }
    return .features(tokens: tokens, outputs: rows[0].outputs)
  }
}
