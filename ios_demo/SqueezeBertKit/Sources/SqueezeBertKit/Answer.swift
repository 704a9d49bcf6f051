/// What a model says of a text, as its task reads it. Places are in Unicode scalars: see `String.range(ofScalars:)`.
public enum Answer: Sendable, Equatable {
  /// The likeliest class, and the probability of each, in the order of the labels.
  case label(Scored, scores: [Scored])
  /// The classes that hold, where several may, and the probability of each.
  case labels([String], scores: [Scored])
  /// The number or numbers of a regression.
  case numbers([Float])
  /// The best of several endings: its index, its text and the probability of each.
  case choice(Int, ending: String, scores: [Float])
  /// A class for each word of the text; those past the last token are left out.
  case words([TaggedWord])
  /// The part of the context that answers the question; empty if none was found.
  case span(Span)
  /// What stands behind each mask token.
  case masks([Mask])
  /// The bare model's outputs, by name: of each token one after the other, or of the text.
  case features(tokens: [String], outputs: [String: [Float]])
}

/// A label or a token, and its probability.
public struct Scored: Sendable, Equatable {
  public let name: String
  public let score: Float
}

/// A word as it stands in the text, and its likeliest class.
public struct TaggedWord: Sendable, Equatable {
  public let word: String
  public let start: Int
  public let end: Int
  public let label: Scored
}

/// A part of a text.
public struct Span: Sendable, Equatable {
  public let text: String
  public let start: Int
  public let end: Int
  public let score: Float
}

/// A mask token's place, and the likeliest tokens for it, best first.
public struct Mask: Sendable, Equatable {
  public let start: Int
  public let end: Int
  public let candidates: [Scored]
}
