/// A bundle's artifact in a runtime: the one thing that differs between runtimes.
///
/// A classifier need not be safe to call from two threads at once; an app keeps it in an actor.
public protocol Classifier {
  /// Computes one row.
  ///
  /// - Parameters:
  ///   - features: of one of the bundle's lengths.
  ///   - entryPoint: the method or signature that serves it; empty where the runtime chooses by shape.
  /// - Returns: the outputs by name, flat, as float32.
  func run(_ features: Features, entryPoint: String) throws -> [String: [Float]]
}

/// Answers texts with a bundle, each row at the shortest length that fits.
public struct Predictor: Sendable {
  public let manifest: Manifest
  public let tokenizer: Tokenizer
  public let head: any Head

  /// Reads the bundle's vocabulary, which takes tens of milliseconds.
  ///
  /// - Throws: `InputError`: the vocabulary is not usable, or the task is none that this version knows.
  public init(_ bundle: ModelBundle) throws {
    manifest = bundle.manifest
    tokenizer = try bundle.tokenizer()
    head = try SqueezeBertKit.head(of: bundle.manifest)
  }

  /// The rows of what a user wrote: a text, a pair, a question and its context, or a prompt and its endings.
  ///
  /// - Throws: `InputError`: the texts are not this task's, or cannot be encoded.
  public func encode(_ texts: [String], docStride: Int = defaultDocStride) throws -> [Encoding] {
    let longest = manifest.lengths[manifest.lengths.count - 1]
    return try head.encode(head.ask(texts), tokenizer, maxLength: longest, docStride: docStride)
  }

  /// A row's inputs at the shortest length that fits.
  public func features(_ encoding: Encoding) throws -> Features {
    let length = try shortestLength(for: encoding.count, of: manifest.lengths)
    return try Features(encoding, length: length, padId: tokenizer.id(.pad))
  }

  /// The answer to what a user wrote.
  ///
  /// - Throws: `InputError`: the texts are not this task's, or the classifier gave other outputs than its.
  public func answer(
    _ texts: [String], with classifier: any Classifier, docStride: Int = defaultDocStride
  ) throws -> Answer { try timed(texts, with: classifier, docStride: docStride).answer }

  /// The same, with how long each stage took.
  public func timed(
    _ texts: [String], with classifier: any Classifier, docStride: Int = defaultDocStride
  ) throws -> TimedAnswer {
    let start = monotonicNanoseconds()
    let asked = try stage("tokenize") {
      try encode(texts, docStride: docStride).map { (encoding: $0, features: try features($0)) }
    }
    let tokenized = monotonicNanoseconds()
    let outputs = try stage("compute") {
      try asked.map { try classifier.run($0.features, entryPoint: manifest.entryPoints[$0.features.length] ?? "") }
    }
    let computed = monotonicNanoseconds()
    let answer = try stage("read") {
      let rows = zip(asked, outputs).map { head.row($0.encoding, $1, length: $0.features.length) }
      return try head.answer(head.ask(texts), rows, tokenizer)
    }
    return TimedAnswer(
      answer: answer, lengths: asked.map(\.features.length), tokenizationNs: tokenized - start,
      computationNs: computed - tokenized)
  }
}

/// An answer and what it took, in nanoseconds.
public struct TimedAnswer: Sendable {
  public let answer: Answer
  /// Of each row that was run.
  public let lengths: [Int]
  /// From the text to the runtime's inputs.
  public let tokenizationNs: Int
  /// In the runtime, all rows.
  public let computationNs: Int
}
