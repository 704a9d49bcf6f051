/// What a record says of the system, as an app finds it out.
public protocol DeviceFacts: Sendable {
  var device: Device { get }
  /// Whether the processor is a program.
  var isEmulated: Bool { get }

  /// How the device is now.
  func state() async -> DeviceState
}

/// A measurement of one bundle by the protocol of docs/record.md: cold start, warm-up, then one row after the other.
public struct Benchmark: Sendable {
  /// How far it is.
  public enum Progress: Sendable, Equatable {
    case loading
    case warmingUp
    /// So many queries are done after so many seconds.
    case measuring(queries: Int, seconds: Double)
  }

  let bundle: ModelBundle
  let rows: [Features]
  let settings: Settings
  let measurementProtocol: MeasurementProtocol

  /// A measurement of rows, of which there is at least one, each of one of the bundle's lengths.
  public init(
    _ bundle: ModelBundle, rows: [Features], settings: Settings, by measurementProtocol: MeasurementProtocol
  ) {
    self.bundle = bundle
    self.rows = rows
    self.settings = settings
    self.measurementProtocol = measurementProtocol
  }

  /// Measures, for as long as the protocol says: not on the main actor. It ends early where its task is cancelled.
  ///
  /// - Parameter progress: is told a few times a second, between two queries.
  /// - Throws: `InputError`: a setting that the engine cannot honour; `CancellationError`; the runtime's own error.
  public func run(
    with engine: any Engine, on facts: any DeviceFacts, progress: @escaping @Sendable (Progress) -> Void = { _ in }
  ) async throws -> Run {
    progress(.loading)
    try await stage("prepare") { try await engine.prepare(bundle) }
    let before = await facts.state()
    let baseline = ResidentMemory.read()
    let loading = monotonicNanoseconds()
    let classifier = try await stage("load") { try await engine.load(bundle, settings) }
    let loaded = monotonicNanoseconds()
    let entryPoints = bundle.manifest.entryPoints
    let compute = { (row: Int) in
      _ = try classifier.run(rows[row], entryPoint: entryPoints[rows[row].length] ?? "")
    }
    let first = try firstQueries(compute)
    let memory = ResidentMemory.read()
    progress(.warmingUp)
    let measurement = Measurement(
      measurementProtocol, lengths: rows.map(\.length), betweenQueries: { _ in try Task.checkCancellation() },
      run: compute)
    let warmUp = try stage("warm up") { try measurement.warmUp() }
    let samples = try stage("measure") { try measurement.telling(progress).measure() }
    return Run(
      device: facts.device, runtime: engine.runtime, before: before, after: await facts.state(),
      coldStart: ColdStart(
        processNs: nil, loadNs: loaded - loading, firstNs: first,
        unknown: ["process_ns": "iOS does not tell an app when its process began"]),
      memory: .of(baseline: baseline?.now, peak: memory?.most), warmUp: warmUp, samples: samples,
      emulated: facts.isEmulated)
  }

  /// What the first query at each length took, the shortest length first.
  private func firstQueries(_ compute: (Int) throws -> Void) throws -> [Int: Int] {
    var first: [Int: Int] = [:]
    for length in Set(rows.map(\.length)).sorted() {
      let row = rows.firstIndex { $0.length == length } ?? 0
      let start = monotonicNanoseconds()
      try compute(row)
      first[length] = monotonicNanoseconds() - start
    }
    return first
  }
}

extension Memory {
  /// Both or neither: a system that counts one counts the other.
  fileprivate static func of(baseline: Int?, peak: Int?) -> Memory {
    guard let baseline, let peak else {
      let reason = "the system does not say what is resident"
      return Memory(
        baselineBytes: nil, peakBytes: nil, unknown: ["baseline_bytes": reason, "peak_bytes": reason])
    }
    return Memory(baselineBytes: baseline, peakBytes: peak)
  }
}

extension Measurement {
  /// The same, that tells how far it is.
  fileprivate func telling(_ progress: @escaping @Sendable (Benchmark.Progress) -> Void) -> Measurement {
    let begin = clock()
    var told = begin
    return Measurement(
      measurementProtocol, lengths: lengths, clock: clock,
      betweenQueries: { queries in
        try betweenQueries(queries)
        let now = clock()
        // A few times a second: what redraws takes the processor's time from the next query.
        if Double(now - told) < 0.25 * second { return }
        told = now
        progress(.measuring(queries: queries, seconds: Double(now - begin) / second))
      }, run: run)
  }
}
