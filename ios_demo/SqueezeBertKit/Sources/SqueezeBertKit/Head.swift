/// Tokens that windows over a long context share where nothing else is said.
public let defaultDocStride = 16

/// One thing to ask a model.
public struct Example: Sendable, Equatable {
  /// The sentence, premise, question, prompt or text with a mask token.
  public let text: String
  /// The second text (hypothesis, context), if there is one.
  public let pair: String?
  /// The endings of `text`, for multiple choice.
  public let choices: [String]

  init(_ text: String, pair: String? = nil, choices: [String] = []) {
    self.text = text
    self.pair = pair
    self.choices = choices
  }
}

/// One pass through the network: its tokens, and its outputs without the padding.
public struct Row: Sendable {
  public let encoding: Encoding
  /// By name; where an output has values per token, those of each token one after the other.
  public let outputs: [String: [Float]]

  /// An output, or an `InputError` that names it.
  func output(_ name: String) throws -> [Float] {
    guard let values = outputs[name] else {
      throw InputError("the runtime gave no \(name)", allowed: outputs.keys.sorted().joined(separator: ", "))
    }
    return values
  }

  /// A token's values of an output that has some for each token.
  func output(_ name: String, token: Int) throws -> [Float] {
    let values = try output(name)
    let width = values.count / encoding.count
    return Array(values[token * width..<(token + 1) * width])
  }

  /// The logits, refused if there are not so many.
  func logits(_ count: Int) throws -> [Float] {
    let logits = try output("logits")
    if logits.count != count { throw InputError("\(logits.count) logits", allowed: "\(count), by the labels") }
    return logits
  }
}

/// One head: what is asked, its outputs, and how an answer is read from them.
public protocol Head: Sendable {
  /// The names of the outputs that have values for each token.
  var perToken: Set<String> { get }

  /// What a user wrote, as an example.
  ///
  /// - Throws: `InputError`: too few or too many texts for this task.
  func ask(_ texts: [String]) throws -> Example

  /// The rows that answer an example, each of at most `maxLength` tokens.
  ///
  /// - Parameter docStride: tokens that windows over a long context share; for question answering only.
  /// - Throws: `InputError`: a text cannot be encoded.
  func encode(_ example: Example, _ tokenizer: Tokenizer, maxLength: Int, docStride: Int) throws -> [Encoding]

  /// The answer as a user reads it.
  ///
  /// - Throws: `InputError`: the rows lack an output, or it does not have the size of this task's.
  func answer(_ example: Example, _ rows: [Row], _ tokenizer: Tokenizer) throws -> Answer
}

extension Head {
  public var perToken: Set<String> { [] }

  public func ask(_ texts: [String]) throws -> Example {
    if texts.isEmpty || texts.count > 2 { throw InputError("\(texts.count) texts", allowed: "a text or a pair") }
    return Example(texts[0], pair: texts.count == 2 ? texts[1] : nil)
  }

  public func encode(
    _ example: Example, _ tokenizer: Tokenizer, maxLength: Int, docStride: Int
  ) throws -> [Encoding] {
    [try tokenizer.encode(example.text, pair: example.pair, maxLength: maxLength)]
  }

  /// A row from what a runtime gave: the padding is cut off where an output has values per token.
  ///
  /// - Parameter length: of the row with its padding.
  public func row(_ encoding: Encoding, _ outputs: [String: [Float]], length: Int) -> Row {
    let real = outputs.map { name, values in
      (name, perToken.contains(name) ? Array(values.prefix(values.count / length * encoding.count)) : values)
    }
    return Row(encoding: encoding, outputs: Dictionary(uniqueKeysWithValues: real))
  }
}

/// The head of a bundle.
///
/// - Throws: `InputError`: it is none that this version knows.
public func head(of manifest: Manifest) throws -> any Head {
  switch manifest.task {
  case "text-classification": TextClassification(labels: manifest.labels, problemType: manifest.problemType)
  case "multiple-choice": MultipleChoice()
  case "token-classification": TokenClassification(labels: manifest.labels)
  case "question-answering": QuestionAnswering()
  case "fill-mask": FillMask()
  case "feature-extraction": FeatureExtraction()
  default: throw InputError("unknown task \"\(manifest.task)\"")
  }
}
