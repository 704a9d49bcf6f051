import Foundation

/// One measurement of one bundle on one device, as docs/record.md and docs/record.schema.json have it.
public struct Record: Sendable, Equatable, Codable {
  public let recordVersion: Int
  /// Unlike any other record's.
  public let id: String
  /// When it was written, UTC, ISO 8601.
  public let time: String
  public let generator: String
  public let device: Device
  /// Whether the processor is a program: its times are no evidence.
  public let emulated: Bool
  public let runtime: Runtime
  public let bundle: Measured
  public let settings: Settings
  public let `protocol`: MeasurementProtocol
  public let texts: Texts
  public let tokenization: Tokenization
  public let coldStart: ColdStart
  public let memory: Memory
  public let warmUp: [WarmUp]
  public let samples: Samples
  public let latency: Latency
  public let before: DeviceState
  public let after: DeviceState
  public let `repeat`: Repeat
  public let foreign: [Foreign]
  public let validity: Validity
  /// Whether the latency may be shown as the device's: valid, of a protocol that is quoted, not emulated.
  public let quotable: Bool

  /// A record of one run; what follows from the samples is computed here.
  ///
  /// - Throws: `InputError`: no samples, or a fact that is neither given nor explained.
  public init(
    of run: Run, generator: String, bundle: Measured, settings: Settings, protocol measured: MeasurementProtocol,
    texts: Texts, tokenization: Tokenization
  ) throws {
    if run.samples.latencyNs.isEmpty { throw InputError("no samples") }
    let latency = Latency(run.samples)
    let rule = measured.brokenRule(run.samples)
    recordVersion = version
    id = String(format: "%016lx", UInt64.random(in: .min ... .max))
    time = DeviceState.now()
    self.generator = generator
    device = run.device
    emulated = run.emulated
    runtime = run.runtime
    self.bundle = bundle
    self.settings = settings
    self.protocol = measured
    self.texts = texts
    self.tokenization = tokenization
    coldStart = run.coldStart
    memory = run.memory
    warmUp = run.warmUp
    samples = run.samples
    self.latency = latency
    before = run.before
    after = run.after
    self.repeat = Repeat(index: 1, of: 1, mediansNs: [latency.overall.p50Ns])
    foreign = []
    validity = Validity(valid: rule == nil, rule: rule)
    quotable = rule == nil && measured.quoted && !run.emulated
    try check()
  }

  /// A record as it was written.
  ///
  /// - Throws: `InputError`: it is cut short, of another version, or contradicts itself.
  public init(_ content: Data) throws {
    self = try decoded(Record.self, from: content)
    try check()
  }

  /// The record as a line of JSON, for a file `*.record.json`.
  public func encoded() throws -> Data { try SqueezeBertKit.encoded(self) }

  private func check() throws {
    if recordVersion != version { throw InputError("record_version \(recordVersion)", allowed: "\(version)") }
    for facts: any Facts in [device, before, after, coldStart, memory] { try facts.requireExplained() }
    let columns = [samples.row, samples.length, samples.startNs, samples.latencyNs]
    if Set(columns.map(\.count)).count != 1 || samples.row.isEmpty {
      throw InputError("samples: columns of different lengths, or none")
    }
    if !Latency(samples).isSame(as: latency) { throw InputError("latency is not that of the samples") }
    guard `repeat`.index >= 1, `repeat`.index <= `repeat`.of, `repeat`.of == `repeat`.mediansNs.count,
      `repeat`.mediansNs[`repeat`.index - 1] == latency.overall.p50Ns
    else { throw InputError("repeat: the median of this run is another") }
    let rule = `protocol`.brokenRule(samples) ?? brokenRepeat(`repeat`.mediansNs)
    if validity.valid != (validity.rule == nil) || (rule != nil && validity.valid) {
      throw InputError("validity says \(validity.rule ?? "valid"), the samples say \(rule ?? "valid")")
    }
    if quotable != (validity.valid && `protocol`.quoted && !emulated) {
      throw InputError("quotable is what is valid, of a quoted protocol, and not emulated")
    }
  }
}

private let version = 1

/// What a device measured, before it is known what of and whether that counts.
public struct Run: Sendable, Codable {
  public let device: Device
  public let runtime: Runtime
  public let before: DeviceState
  public let after: DeviceState
  public let coldStart: ColdStart
  public let memory: Memory
  public let warmUp: [WarmUp]
  public let samples: Samples
  /// Whether the processor is a program.
  public let emulated: Bool

  public init(
    device: Device, runtime: Runtime, before: DeviceState, after: DeviceState, coldStart: ColdStart,
    memory: Memory, warmUp: [WarmUp], samples: Samples, emulated: Bool
  ) {
    self.device = device
    self.runtime = runtime
    self.before = before
    self.after = after
    self.coldStart = coldStart
    self.memory = memory
    self.warmUp = warmUp
    self.samples = samples
    self.emulated = emulated
  }
}

/// The samples in numbers: all of them, and those of each length.
public struct Latency: Sendable, Equatable, Codable {
  public let overall: Statistics
  public let byLength: [Int: Statistics]

  init(_ samples: Samples) {
    overall = Statistics(samples.latencyNs)
    byLength = Statistics.byLength(samples)
  }

  func isSame(as other: Latency) -> Bool {
    overall.isSame(as: other.overall) && byLength.keys == other.byLength.keys
      && byLength.allSatisfy { length, found in other.byLength[length].map(found.isSame) ?? false }
  }
}

/// Which of several runs in a row this is, from 1, and the medians of all.
public struct Repeat: Sendable, Equatable, Codable {
  public let index: Int
  public let of: Int
  public let mediansNs: [Int]
}

/// Whether the measurement kept the rules, or which it broke.
public struct Validity: Sendable, Equatable, Codable {
  public let valid: Bool
  @Null public internal(set) var rule: String?
}

/// A number of somebody else's tool, beside ours, and why it is none of ours.
public struct Foreign: Sendable, Equatable, Codable {
  public let tool: String
  public let meanNs: Double
  public let note: String
}
