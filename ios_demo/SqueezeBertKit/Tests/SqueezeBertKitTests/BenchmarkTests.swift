import XCTest

@testable import SqueezeBertKit

/// A session and a measurement over a classifier that computes nothing.
final class BenchmarkTests: XCTestCase {
  func testASessionAnswersAtTheShortestLength() async throws {
    let session = try await Session.open(tinyBundle(), engines: [FakeEngine { _ in }])
    let timed = try await session.answer(["good film"])
    XCTAssertEqual(timed.lengths, [8])
    guard case .label(let label, _) = timed.answer else { return XCTFail("\(timed.answer)") }
    XCTAssertEqual(label.name, "positive")
  }

  func testABundleOfAnotherFormatHasNoEngine() async throws {
    let bundle = try tinyBundle(format: "tflite")
    do {
      _ = try await Session.open(bundle, engines: [FakeEngine { _ in }])
      XCTFail("opened")
    } catch let error as InputError {
      XCTAssertEqual(error, InputError("no runtime for a bundle of tflite", allowed: "coreml"))
    }
  }

  func testAMeasurementTellsHowFarItIs() async throws {
    let told = Told()
    let engine = FakeEngine { _ in Thread.sleep(forTimeInterval: 0.06) }
    let run = try await benchmark(.exactly(8)).run(with: engine, on: FakeDevice()) { told.append($0) }
    XCTAssertEqual(run.samples.latencyNs.count, 8)
    XCTAssertEqual(told.all.prefix(2), [.loading, .warmingUp])
    guard case .measuring(let queries, let seconds) = told.all.last else { return XCTFail("\(told.all)") }
    XCTAssertTrue((1..<8).contains(queries))
    XCTAssertGreaterThanOrEqual(seconds, 0.25)
  }

  func testACancelledMeasurementEndsBetweenTwoQueries() async throws {
    let counted = Told()
    let engine = FakeEngine { done in
      counted.append(.measuring(queries: done, seconds: 0))
      if done == 3 { withUnsafeCurrentTask { $0?.cancel() } }
    }
    let measured = try benchmark(.quick)
    let task = Task { try await measured.run(with: engine, on: FakeDevice()) }
    let result = await task.result
    XCTAssertThrowsError(try result.get()) { XCTAssertTrue($0 is CancellationError, "\($0)") }
    XCTAssertEqual(counted.all.count, 3)
  }

  private func benchmark(_ measurementProtocol: MeasurementProtocol) throws -> Benchmark {
    let bundle = try tinyBundle()
    let predictor = try Predictor(bundle)
    let rows = try predictor.encode(["good film"]).map { try predictor.features($0) }
    return Benchmark(bundle, rows: rows, settings: Settings(), by: measurementProtocol)
  }

  /// A sealed bundle of a text classifier, with an artifact that nothing can run.
  private func tinyBundle(format: String = "coreml") throws -> ModelBundle {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    addTeardownBlock { try? FileManager.default.removeItem(at: directory) }
    let vocabulary = Data("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nfilm\n".utf8)
    let artifact = Data("nothing".utf8)
    let tensor = #"{"name": "logits", "dtype": "float32", "shape": [1, 2]}"#
    let manifest = Data(
      """
      {"schema_version": 1, "source": {"checkpoint": "tiny", "sha256": "0"}, "format": "\(format)",
       "artifact": "model", "task": "text-classification", "problem_type": null,
       "labels": ["negative", "positive"], "precision": {"name": "fp32", "exact": "fp32"}, "form": "plain",
       "lengths": [8, 16], "entry_points": {"8": "", "16": ""}, "inputs": [], "outputs": [\(tensor)],
       "tokenizer": {"lower_case": true, "strip_accents": true, "cjk": true, "max_word": 100,
        "special_tokens": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}},
       "verification": {"status": "not verified"}, "files": {"vocab.txt": "\(sha256(of: vocabulary))",
        "model": "\(sha256(of: artifact))"}}
      """.utf8)
    for (name, content) in [
      ("vocab.txt", vocabulary), ("model", artifact), ("manifest.json", manifest),
      ("manifest.sha256", Data(sha256(of: manifest).utf8)),
    ] { try content.write(to: directory.appendingPathComponent(name)) }
    return try ModelBundle(at: directory)
  }
}

/// Its classifier finds everything positive, and does something else with the number of queries so far.
private struct FakeEngine: Engine {
  let format = "coreml"
  let runtime = Runtime(name: "coreml", version: "fake", runner: "app", libc: "glibc")
  let meanwhile: @Sendable (Int) -> Void

  init(_ meanwhile: @escaping @Sendable (Int) -> Void) { self.meanwhile = meanwhile }

  func load(_ bundle: ModelBundle, _ settings: Settings) async throws -> sending any Classifier {
    FakeClassifier(meanwhile)
  }
}

private final class FakeClassifier: Classifier {
  private let meanwhile: (Int) -> Void
  private var queries = 0

  init(_ meanwhile: @escaping @Sendable (Int) -> Void) { self.meanwhile = meanwhile }

  func run(_ features: Features, entryPoint: String) throws -> [String: [Float]] {
    queries += 1
    meanwhile(queries)
    return ["logits": [0, 1]]
  }
}

private struct FakeDevice: DeviceFacts {
  let isEmulated = true
  let device = Device(
    kind: "ios", name: "fake", os: "none", architecture: "none", cpus: 1,
    unknown: ["soc": "fake", "clusters": "fake", "memory_bytes": "fake"])

  func state() async -> DeviceState {
    DeviceState(thermalStatus: nil, battery: nil, charging: nil, lowPowerMode: nil, reason: "fake")
  }
}

/// What was told, by whichever thread.
private final class Told: @unchecked Sendable {
  private let lock = NSLock()
  private var told: [Benchmark.Progress] = []

  var all: [Benchmark.Progress] { lock.withLock { told } }

  func append(_ progress: Benchmark.Progress) { lock.withLock { told.append(progress) } }
}
