import Foundation

/// How long is measured, and what its numbers are then good for: MLPerf's single stream, see docs/record.md.
public struct MeasurementProtocol: Sendable, Hashable, Codable {
  /// `mlperf`, `quick`, `rapid`, or `queries` for so many and no more.
  public let name: String
  /// At least so many.
  public let queries: Int
  /// For at least so long.
  public let seconds: Double
  /// By when the queries must be done, warm-up apart; nil where the count alone decides.
  @Null public private(set) var mostSeconds: Double?
  /// Seconds of rest between two runs.
  public let coolDown: Double
  /// Whether its numbers may be shown as the device's.
  public let quoted: Bool

  enum CodingKeys: String, CodingKey, CaseIterable {
    case name, queries, seconds, mostSeconds, coolDown, quoted
  }

  public static let mlperf = MeasurementProtocol("mlperf", 1024, 60, most: 600, coolDown: 300, quoted: true)
  public static let quick = MeasurementProtocol("quick", 128, 10, most: 60, quoted: true)
  public static let rapid = MeasurementProtocol("rapid", 64, 6, most: 60, quoted: false)

  /// So many queries, however long they take; never quoted.
  public static func exactly(_ queries: Int) -> MeasurementProtocol {
    MeasurementProtocol("queries", queries, 0, most: nil, quoted: false)
  }

  private init(
    _ name: String, _ queries: Int, _ seconds: Double, most: Double?, coolDown: Double = 0, quoted: Bool
  ) {
    self.name = name
    self.queries = queries
    self.seconds = seconds
    self.coolDown = coolDown
    self.quoted = quoted
    mostSeconds = most
  }

  /// The rule that a run breaks, or nil: a device that did not get done has no latency.
  func brokenRule(_ samples: Samples) -> String? {
    if samples.latencyNs.count < queries { return "too slow" }
    let end = (samples.startNs.last ?? 0) + (samples.latencyNs.last ?? 0)
    return Double(end) < seconds * second ? "too short" : nil
  }
}

/// Every query that was measured, in order, by column.
public struct Samples: Sendable, Equatable, Codable {
  /// Which text it was.
  public internal(set) var row: [Int] = []
  /// The sequence length it ran at.
  public internal(set) var length: [Int] = []
  /// When it began, from the beginning of the first.
  public internal(set) var startNs: [Int] = []
  /// How long it took.
  public internal(set) var latencyNs: [Int] = []
}

/// Queries at one length before any is measured; steady if the last two blocks' medians agreed.
public struct WarmUp: Sendable, Equatable, Codable {
  public let length: Int
  public let queries: Int
  public let steady: Bool
}

/// Runs a model by the protocol: first `warmUp`, then `measure`.
public struct Measurement {
  let measurementProtocol: MeasurementProtocol
  let lengths: [Int]
  let clock: () -> Int
  let run: (Int) throws -> Void
  let betweenQueries: (Int) throws -> Void

  /// A measurement of rows.
  ///
  /// - Parameters:
  ///   - lengths: of each row, of which there is at least one.
  ///   - clock: nanoseconds that only grow.
  ///   - betweenQueries: is told how many queries are done, outside of what is timed; it may throw to cancel.
  ///   - run: computes the row of that index.
  public init(
    _ measurementProtocol: MeasurementProtocol, lengths: [Int], clock: @escaping () -> Int = monotonicNanoseconds,
    betweenQueries: @escaping (Int) throws -> Void = { _ in }, run: @escaping (Int) throws -> Void
  ) {
    self.measurementProtocol = measurementProtocol
    self.lengths = lengths
    self.clock = clock
    self.betweenQueries = betweenQueries
    self.run = run
  }

  /// Runs the first row of each length until two consecutive tens have medians within 2%, at most a hundred times.
  ///
  /// Warm-up exceeds neither the protocol's count nor its time: what is slower will be found too slow.
  public func warmUp() throws -> [WarmUp] {
    let end = limit.map { clock() + $0 } ?? .max
    return try Set(lengths).sorted().map { try warmUp(at: $0, until: end) }
  }

  private func warmUp(at length: Int, until end: Int) throws -> WarmUp {
    let row = lengths.firstIndex(of: length) ?? 0
    var medians: [Int] = []
    var block: [Int] = []
    var done = 0
    while done < min(100, measurementProtocol.queries) {
      try betweenQueries(done)
      let start = clock()
      try run(row)
      block.append(clock() - start)
      done += 1
      if clock() >= end { break }
      guard block.count == 10 else { continue }
      medians.append(percentile(block.sorted(), 50))
      block = []
      if let before = medians.dropLast().last, let last = medians.last,
        Double(abs(last - before)) <= 0.02 * Double(before)
      {
        return WarmUp(length: length, queries: done, steady: true)
      }
    }
    return WarmUp(length: length, queries: done, steady: false)
  }

  /// Runs the rows in turn until the protocol has its count and its time, or is out of time.
  public func measure() throws -> Samples {
    var samples = Samples()
    let least = Int(measurementProtocol.seconds * second)
    let most = limit ?? .max
    let begin = clock()
    var end = begin
    while (samples.row.count < measurementProtocol.queries || end - begin < least) && end - begin < most {
      let row = samples.row.count % lengths.count
      try betweenQueries(samples.row.count)
      let start = clock()
      try run(row)
      end = clock()
      samples.row.append(row)
      samples.length.append(lengths[row])
      samples.startNs.append(start - begin)
      samples.latencyNs.append(end - start)
    }
    return samples
  }

  private var limit: Int? { measurementProtocol.mostSeconds.map { Int($0 * second) } }
}

let second = 1e9  // nanoseconds, the unit of every time here

/// Nanoseconds of a clock that only grows.
public func monotonicNanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
}
