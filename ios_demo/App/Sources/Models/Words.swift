import Foundation
import SqueezeBertKit

extension ModelBundle {
  /// What it is, in a line.
  var summary: String {
    "\(manifest.format), \(manifest.precision.exact), \(manifest.form), lengths "
      + manifest.lengths.map(String.init).joined(separator: ", ")
  }
}

extension TimedAnswer {
  /// What it took, in a line.
  var summary: String {
    let rows = lengths.count == 1 ? "1 row" : "\(lengths.count) rows"
    let tokens = Set(lengths).sorted().map(String.init).joined(separator: ", ")
    return "\(milliseconds(computationNs)), \(rows) of \(tokens) tokens; tokenizer \(milliseconds(tokenizationNs))"
  }
}

/// Nanoseconds as a person reads them.
func milliseconds(_ nanoseconds: Int) -> String {
  "\((Double(nanoseconds) / 1e6).formatted(.number.precision(.significantDigits(3)))) ms"
}

/// A probability as a person reads it.
func percent(_ score: Float) -> String { Double(score).formatted(.percent.precision(.fractionLength(1))) }

extension MeasurementProtocol {
  /// Those that a person may wait for.
  static let choices = [rapid, quick, mlperf]
}

extension Benchmark.Progress {
  /// What is being done.
  var words: String {
    switch self {
    case .loading: "Loading"
    case .warmingUp: "Warming up"
    case .measuring(let queries, let seconds): "\(queries) queries in \(Int(seconds)) seconds"
    }
  }

  /// How much of the queries and of the time is over, whichever is less; nil before the first.
  func share(of measurementProtocol: MeasurementProtocol) -> Double? {
    guard case .measuring(let queries, let seconds) = self else { return nil }
    let done = Double(queries) / Double(measurementProtocol.queries)
    return min(done, seconds / max(measurementProtocol.seconds, 1), 1)
  }
}

extension Record {
  /// Whether its numbers count, and if not, why.
  var standing: String {
    if let rule = validity.rule { return "Invalid: \(rule)" }
    if emulated { return "A simulator: no evidence of a phone's speed" }
    return quotable ? "Valid" : "Valid, too short to be quoted"
  }
}
