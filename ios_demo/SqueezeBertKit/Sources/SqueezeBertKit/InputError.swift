import Foundation

/// A text, a bundle or a call that cannot be worked with, in words for whoever can mend it.
public struct InputError: LocalizedError, Equatable, CustomStringConvertible {
  /// What is wrong.
  public let problem: String
  /// What would be right.
  public let allowed: String?
  /// What to do next.
  public let hint: String?

  /// An error in one to three lines.
  public init(_ problem: String, allowed: String? = nil, hint: String? = nil) {
    self.problem = problem
    self.allowed = allowed
    self.hint = hint
  }

  public var errorDescription: String? { description }

  public var description: String {
    [problem, allowed.map { "allowed: \($0)" }, hint.map { "next: \($0)" }]
      .compactMap { $0 }.joined(separator: "\n")
  }
}
