import Foundation
import Observation
import SqueezeBertKit
import UIKit

/// A measurement that the user starts, follows and may cancel; its record is kept in the app's documents.
@MainActor @Observable
final class BenchmarkModel {
  enum State {
    case idle
    case running(Benchmark.Progress)
    case done(Record, URL)
    case failed(String)
  }

  private(set) var state = State.idle
  private var work: Task<Void, Never>?

  var isRunning: Bool { if case .running = state { true } else { false } }

  /// Measures a bundle on texts.
  func start(
    _ bundle: ModelBundle, texts: [String], settings: Settings, by measurementProtocol: MeasurementProtocol,
    in demo: Demo
  ) {
    state = .running(.loading)
    demo.isComputing = true
    demo.closeSessions()
    work = Task(priority: .userInitiated) {
      UIApplication.shared.isIdleTimerDisabled = true
      defer {
        UIApplication.shared.isIdleTimerDisabled = false
        demo.isComputing = false
      }
      let (updates, told) = AsyncStream.makeStream(
        of: Benchmark.Progress.self, bufferingPolicy: .bufferingNewest(1))
      async let found = recorded(bundle, texts, settings, measurementProtocol, telling: told)
      for await update in updates { state = .running(update) }
      do {
        let (record, file) = try await found
        state = .done(record, file)
      } catch is CancellationError {
        state = .idle
      } catch {
        state = .failed(error.localizedDescription)
      }
    }
  }

  /// Ends the measurement between two queries; nothing is kept of it.
  func cancel() { work?.cancel() }
}

/// Measures off the main actor, and writes the record.
private func recorded(
  _ bundle: ModelBundle, _ texts: [String], _ settings: Settings, _ measurementProtocol: MeasurementProtocol,
  telling told: AsyncStream<Benchmark.Progress>.Continuation
) async throws -> (Record, URL) {
  defer { told.finish() }
  let predictor = try Predictor(bundle)
  let start = monotonicNanoseconds()
  let rows = try predictor.encode(texts).map { try predictor.features($0) }
  let tokenization = Tokenization(onDevice: [monotonicNanoseconds() - start])
  let benchmark = Benchmark(bundle, rows: rows, settings: settings, by: measurementProtocol)
  let run = try await benchmark.run(with: engines.engine(for: bundle), on: ThisDevice()) { told.yield($0) }
  let record = try Record(
    of: run, generator: "SqueezeBertDemo", bundle: Measured(bundle), settings: settings,
    protocol: measurementProtocol, texts: Texts(source: "the app's example", texts: 1, rows: rows.count),
    tokenization: tokenization)
  let directory = URL.documentsDirectory.appendingPathComponent("records", isDirectory: true)
  try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
  let file = directory.appendingPathComponent("\(record.bundle.name).ios.\(record.id).record.json")
  try record.encoded().write(to: file, options: .atomic)
  return (record, file)
}
