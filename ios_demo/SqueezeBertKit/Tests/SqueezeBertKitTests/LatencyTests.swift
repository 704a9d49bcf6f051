import XCTest

@testable import SqueezeBertKit

/// The protocol and its statistics, held to tests/vectors/statistics.json.
final class LatencyTests: XCTestCase {
  private struct Vectors: Decodable {
    struct Numbers: Decodable {
      let name: String
      let latencyNs: [Int]
      let length: [Int]
      let overall: Statistics
      let byLength: [Int: Statistics]
    }

    struct Warming: Decodable {
      let name: String
      let queriesAllowed: Int
      let latencyNs: [Int]
      let queries: Int
      let steady: Bool
    }

    struct Whole: Decodable {
      let name: String
      let `protocol`: MeasurementProtocol
      let eachNs: Int
      let queries: Int
      let rule: String?
    }

    struct Repeats: Decodable {
      let mediansNs: [Int]
      let valid: Bool
    }

    let statistics: [Numbers]
    let warmUp: [Warming]
    let runs: [Whole]
    let repeats: [Repeats]
  }

  private func vectors() throws -> Vectors {
    let root = URL(fileURLWithPath: #filePath).pathComponents.dropLast(5).dropFirst().joined(separator: "/")
    return try decoded(
      Vectors.self, from: Data(contentsOf: URL(fileURLWithPath: "/\(root)/tests/vectors/statistics.json")))
  }

  func testStatisticsAreThoseOfTheVectors() throws {
    for numbers in try vectors().statistics {
      var samples = Samples()
      samples.length = numbers.length
      samples.latencyNs = numbers.latencyNs
      let found = Latency(samples)
      XCTAssertTrue(found.overall.isSame(as: numbers.overall), numbers.name)
      XCTAssertEqual(found.byLength.keys.sorted(), numbers.byLength.keys.sorted(), numbers.name)
      for (length, expected) in numbers.byLength {
        XCTAssertTrue(found.byLength[length]?.isSame(as: expected) ?? false, numbers.name)
      }
    }
  }

  func testWarmUpsEndWhereTheVectorsSay() throws {
    for warming in try vectors().warmUp {
      var now = 1_000_000
      var turn = 0
      let run = { (_: Int) in
        now += warming.latencyNs[turn]
        turn += 1
      }
      let measurement = Measurement(.exactly(warming.queriesAllowed), lengths: [32], clock: { now }, run: run)
      let expected = WarmUp(length: 32, queries: warming.queries, steady: warming.steady)
      XCTAssertEqual(try measurement.warmUp(), [expected], warming.name)
    }
  }

  func testRunsAreAsLongAsTheVectorsSay() throws {
    for whole in try vectors().runs {
      var now = 1_000_000
      let measurement = Measurement(
        whole.protocol, lengths: [32], clock: { now }, run: { _ in now += whole.eachNs })
      let samples = try measurement.measure()
      XCTAssertEqual(samples.latencyNs.count, whole.queries, whole.name)
      XCTAssertEqual(whole.protocol.brokenRule(samples), whole.rule, whole.name)
      let known = [MeasurementProtocol.mlperf, .quick, .rapid].first { $0.name == whole.protocol.name }
      XCTAssertEqual(whole.protocol, known ?? whole.protocol)
    }
  }

  func testRepeatsAgreeOrNot() throws {
    for repeats in try vectors().repeats {
      XCTAssertEqual(brokenRepeat(repeats.mediansNs) == nil, repeats.valid)
    }
  }

  func testACancelledMeasurementEnds() {
    let measurement = Measurement(
      .quick, lengths: [32], betweenQueries: { if $0 == 3 { throw CancellationError() } }, run: { _ in })
    XCTAssertThrowsError(try measurement.measure()) { XCTAssertTrue($0 is CancellationError) }
  }
}
