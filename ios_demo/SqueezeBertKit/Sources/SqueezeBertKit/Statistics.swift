import Foundation

/// Statistics of latencies, in nanoseconds; docs/record.md defines each.
public struct Statistics: Sendable, Equatable, Codable {
  // The largest of 299 samples is above the true 99th percentile with 95% probability: 0.99**299 < 0.05.
  private static let fewestForP99 = 299

  public let count: Int
  public let p50Ns: Int
  public let p90Ns: Int
  @Null public private(set) var p99Ns: Int?
  public let leastNs: Int
  public let mostNs: Int
  public let meanNs: Double
  @Null public private(set) var standardDeviationNs: Double?
  public let perSecond: Double

  /// Of at least one latency.
  public init(_ latencies: [Int]) {
    let ascending = latencies.sorted()
    let total = ascending.reduce(0, +)
    let mean = Double(total) / Double(ascending.count)
    let squares = ascending.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    count = ascending.count
    p50Ns = percentile(ascending, 50)
    p90Ns = percentile(ascending, 90)
    leastNs = ascending[0]
    mostNs = ascending[count - 1]
    meanNs = mean
    perSecond = second * Double(count) / Double(total)
    p99Ns = count >= Self.fewestForP99 ? percentile(ascending, 99) : nil
    standardDeviationNs = count > 1 ? (squares / Double(count - 1)).squareRoot() : nil
  }

  /// The statistics of each length's samples.
  static func byLength(_ samples: Samples) -> [Int: Statistics] {
    Dictionary(grouping: zip(samples.length, samples.latencyNs), by: \.0).mapValues { Statistics($0.map(\.1)) }
  }

  private var times: [Int?] { [count, p50Ns, p90Ns, p99Ns, leastNs, mostNs] }

  private var ratios: [Double?] { [meanNs, standardDeviationNs, perSecond] }

  /// Whether two have the same counts and times; means and what follows from them to nine digits.
  func isSame(as other: Statistics) -> Bool {
    times == other.times
      && zip(ratios, other.ratios).allSatisfy { mine, theirs in
        guard let mine, let theirs else { return mine == theirs }
        return abs(mine - theirs) <= 1e-9 * max(abs(mine), abs(theirs))
      }
  }
}

/// The value at index floor(n * percent / 100), from 0: that of loadgen's results.cc, in whole numbers.
func percentile(_ ascending: [Int], _ percent: Int) -> Int { ascending[ascending.count * percent / 100] }

/// The rule that repeated runs break, or nil: their medians must agree to 5%.
func brokenRepeat(_ medians: [Int]) -> String? {
  let (least, most) = (medians.min() ?? 0, medians.max() ?? 0)
  guard Double(most - least) > 0.05 * Double(least) else { return nil }
  let percent = 100 * Double(most - least) / Double(least)
  return "repeat: medians differ by \(String(format: "%.1f", percent))%, more than 5%"
}

extension Null: Hashable where Value: Hashable {}

/// A field that JSON has as null where there is no value: the schema of records leaves none out.
@propertyWrapper
public struct Null<Value: Codable & Sendable & Equatable>: Codable, Sendable, Equatable {
  public var wrappedValue: Value?

  public init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    wrappedValue = container.decodeNil() ? nil : try container.decode(Value.self)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
  }
}
