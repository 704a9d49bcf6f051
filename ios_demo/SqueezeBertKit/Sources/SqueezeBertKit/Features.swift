/// A model's inputs of a fixed length, each one row (1, `length`) of int32. Padding stands at the end, with mask 0 and
/// type 0.
public struct Features: Sendable, Equatable {
  public let length: Int
  /// By name, as the artifact has them.
  public let inputs: [String: [Int32]]

  /// The inputs that tokens make.
  ///
  /// - Throws: `InputError`: the tokens do not fit.
  public init(_ encoding: Encoding, length: Int, padId: Int32) throws {
    let padding = length - encoding.count
    if padding < 0 {
      throw InputError(
        "\(encoding.count) tokens do not fit a length of \(length)", allowed: "at least \(encoding.count)")
    }
    self.length = length
    inputs = [
      "input_ids": encoding.ids + repeatElement(padId, count: padding),
      "attention_mask": encoding.ids.map { _ in 1 } + repeatElement(0, count: padding),
      "token_type_ids": encoding.tokenTypes + repeatElement(0, count: padding),
    ]
  }

  /// Inputs that were made elsewhere.
  ///
  /// - Parameter inputs: by name, each of `length`.
  init(length: Int, inputs: [String: [Int32]]) {
    self.length = length
    self.inputs = inputs
  }

  /// An input.
  ///
  /// - Throws: `InputError`: texts have none of that name.
  public func input(_ name: String) throws -> [Int32] {
    guard let values = inputs[name] else {
      throw InputError("the artifact wants \"\(name)\"", allowed: inputs.keys.sorted().joined(separator: ", "))
    }
    return values
  }
}

/// The shortest of `lengths`, which ascend, that holds so many tokens.
///
/// - Throws: `InputError`: none does.
public func shortestLength(for tokens: Int, of lengths: [Int]) throws -> Int {
  guard let length = lengths.first(where: { $0 >= tokens }) else {
    throw InputError(
      "\(tokens) tokens fit none of the lengths", allowed: "at most \(lengths.last ?? 0) tokens",
      hint: "truncate the text, or export a longer length")
  }
  return length
}
