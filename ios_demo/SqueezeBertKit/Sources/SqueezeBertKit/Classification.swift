import Foundation

/// A class, several classes or a number for a text or a pair.
public struct TextClassification: Head {
  let labels: [String]
  let problemType: String?

  public func answer(_ example: Example, _ rows: [Row], _ tokenizer: Tokenizer) throws -> Answer {
    switch problemType ?? (labels.count == 1 ? "regression" : nil) {
    case "regression":
      return .numbers(try rows[0].output("logits"))
    case "multi_label_classification":
      let scores = try rows[0].logits(labels.count).map { 1 / (1 + exp(-$0)) }
      return .labels(zip(labels, scores).filter { $0.1 > 0.5 }.map(\.0), scores: scored(labels, scores))
    default:
      let logits = try rows[0].logits(labels.count)
      let scores = scored(labels, softmax(logits))
      return .label(scores[argmax(logits)], scores: scores)
    }
  }
}

/// The best of several endings. A row, and so an artifact, scores one ending.
public struct MultipleChoice: Head {
  /// A prompt and its endings.
  public func ask(_ texts: [String]) throws -> Example {
    if texts.count < 3 { throw InputError("multiple choice needs a prompt and at least two choices") }
    return Example(texts[0], choices: Array(texts.dropFirst()))
  }

  /// A row for each choice, after the prompt.
  public func encode(
    _ example: Example, _ tokenizer: Tokenizer, maxLength: Int, docStride: Int
  ) throws -> [Encoding] {
    try example.choices.map { try tokenizer.encode(example.text, pair: $0, maxLength: maxLength) }
  }

  public func answer(_ example: Example, _ rows: [Row], _ tokenizer: Tokenizer) throws -> Answer {
    let scores = softmax(try rows.map { try $0.logits(1)[0] })
    let choice = argmax(scores)
    return .choice(choice, ending: example.choices[choice], scores: scores)
  }
}

/// A class for each word of a text, taken from its first piece.
public struct TokenClassification: Head {
  let labels: [String]

  public var perToken: Set<String> { ["logits"] }

  public func answer(_ example: Example, _ rows: [Row], _ tokenizer: Tokenizer) throws -> Answer {
    let encoding = rows[0].encoding
    _ = try rows[0].logits(encoding.count * labels.count)
    let tokens = encoding.sequences.indices.filter { encoding.sequences[$0] == 0 }
    let firsts = tokens.filter { encoding.words[$0] != encoding.words[$0 - 1] }  // [CLS] precedes them all
    return .words(
      try firsts.map { first in
        let last = tokens.last { encoding.words[$0] == encoding.words[first] } ?? first
        let (start, end) = (encoding.starts[first], encoding.ends[last])
        let scores = scored(labels, softmax(try rows[0].output("logits", token: first)))
        let label = scores[argmax(scores.map(\.score))]
        return TaggedWord(word: example.text.between(start, end), start: start, end: end, label: label)
      })
  }
}

private func scored(_ labels: [String], _ scores: [Float]) -> [Scored] {
  zip(labels, scores).map { Scored(name: $0, score: $1) }
}
