import Foundation

/// Fields that a device may not give: each is nil then, and `unknown` has the reason by the field's name in JSON.
protocol Facts: Codable, Sendable {
  var unknown: [String: String] { get }
}

extension Facts {
  func requireExplained() throws {
    let fields = try JSONSerialization.jsonObject(with: encoded(self)) as? [String: Any] ?? [:]
    let missing = Set(fields.filter { $0.value is NSNull }.keys)
    if missing != Set(unknown.keys) {
      throw InputError("null is \(missing.sorted()), explained is \(unknown.keys.sorted())")
    }
  }
}

/// What was measured on.
public struct Device: Facts, Equatable {
  public let unknown: [String: String]
  /// `host`, `ssh`, `android` or `ios`.
  public let kind: String
  /// Model or processor.
  public let name: String
  public let os: String
  public let architecture: String
  /// How many.
  @Null public private(set) var cpus: Int?
  /// The chip.
  @Null public private(set) var soc: String?
  /// Numbers of the CPUs of each kind, the fastest kind first; one list where all are alike.
  @Null public private(set) var clusters: [[Int]]?
  @Null public private(set) var memoryBytes: Int?

  public init(
    kind: String, name: String, os: String, architecture: String, cpus: Int?, soc: String? = nil,
    clusters: [[Int]]? = nil, memoryBytes: Int? = nil, unknown: [String: String]
  ) {
    self.unknown = unknown
    self.kind = kind
    self.name = name
    self.os = os
    self.architecture = architecture
    self.cpus = cpus
    self.soc = soc
    self.clusters = clusters
    self.memoryBytes = memoryBytes
  }
}

/// The system and its version, as records name it.
public func systemVersion() -> String {
  #if os(iOS)
    let system = "iOS"
  #elseif os(macOS)
    let system = "macOS"
  #else
    let system = "Linux"
  #endif
  let version = ProcessInfo.processInfo.operatingSystemVersion
  let patch = version.patchVersion == 0 ? "" : ".\(version.patchVersion)"
  return "\(system) \(version.majorVersion).\(version.minorVersion)\(patch)"
}

/// How a device was at a moment.
public struct DeviceState: Facts, Equatable {
  public let unknown: [String: String]
  /// UTC, ISO 8601.
  public let time: String
  /// By the sensor's own name.
  @Null public private(set) var temperaturesC: [String: Double]?
  /// The system's own word.
  @Null public private(set) var thermalStatus: String?
  /// From 0 to 1.
  @Null public private(set) var battery: Double?
  @Null public private(set) var charging: Bool?
  @Null public private(set) var lowPowerMode: Bool?
  /// Of each CPU, by number.
  @Null public private(set) var governors: [String]?
  @Null public private(set) var frequenciesMhz: [Double]?
  /// Runnable processes, averaged over a minute.
  @Null public private(set) var load: Double?
  /// Where the measured process may run.
  @Null public private(set) var allowedCpus: [Int]?

  /// What an iPhone says of itself; the rest, which iOS tells no app, is explained by `reason`.
  public init(
    thermalStatus: String?, battery: Double?, charging: Bool?, lowPowerMode: Bool?, reason: String
  ) {
    var missing = ["temperatures_c", "governors", "frequencies_mhz", "load", "allowed_cpus"]
    if thermalStatus == nil { missing.append("thermal_status") }
    if battery == nil { missing.append("battery") }
    if charging == nil { missing.append("charging") }
    if lowPowerMode == nil { missing.append("low_power_mode") }
    unknown = Dictionary(uniqueKeysWithValues: missing.map { ($0, reason) })
    time = Self.now()
    self.thermalStatus = thermalStatus
    self.battery = battery
    self.charging = charging
    self.lowPowerMode = lowPowerMode
    temperaturesC = nil
    governors = nil
    frequenciesMhz = nil
    load = nil
    allowedCpus = nil
  }

  /// This moment as records have it.
  static func now() -> String { ISO8601DateFormatter().string(from: Date()) }
}

/// What computed.
public struct Runtime: Sendable, Equatable, Codable {
  /// `executorch`, `litert`, `tflite-runtime` or `coreml`.
  public let name: String
  public let version: String
  /// What called it: `python`, `native` or `app`.
  public let runner: String
  /// `glibc`, `bionic`, `musl` or `darwin`.
  public let libc: String

  public init(name: String, version: String, runner: String, libc: String) {
    self.name = name
    self.version = version
    self.runner = runner
    self.libc = libc
  }
}

/// The bundle; `sha256` is its manifest's, which holds the hashes of its files.
public struct Measured: Sendable, Equatable, Codable {
  public let name: String
  public let sha256: String
  public let checkpoint: String
  public let checkpointSha256: String
  public let task: String
  public let format: String
  public let precision: String
  public let exactPrecision: String
  public let form: String
  public let lengths: [Int]
  public let artifactBytes: Int

  /// What a record says of a bundle.
  public init(_ bundle: ModelBundle) throws {
    name = bundle.directory.standardizedFileURL.lastPathComponent
    sha256 = bundle.sha256
    checkpoint = bundle.manifest.source.checkpoint
    checkpointSha256 = bundle.manifest.source.sha256
    task = bundle.manifest.task
    format = bundle.manifest.format
    precision = bundle.manifest.precision.name
    exactPrecision = bundle.manifest.precision.exact
    form = bundle.manifest.form
    lengths = bundle.manifest.lengths
    artifactBytes = try bundle.artifactBytes
  }
}

/// What was asked for; nil leaves it to the runtime or the system.
public struct Settings: Sendable, Equatable, Codable {
  @Null public private(set) var threads: Int?
  /// The compute unit: `cpu`, `gpu`, `ane`, or `npu:` and the chip.
  @Null public private(set) var unit: String?
  /// The only CPUs to run on.
  @Null public private(set) var cpus: [Int]?
  /// The one that every text is padded or cut to; by default each text's shortest.
  @Null public private(set) var length: Int?
  /// Which of several a format has, by its package's name.
  @Null public private(set) var runtime: String?

  enum CodingKeys: String, CodingKey, CaseIterable {
    case threads, unit, cpus, length, runtime
  }

  public init(threads: Int? = nil, unit: String? = nil, length: Int? = nil) {
    self.threads = threads
    self.unit = unit
    self.length = length
    cpus = nil
    runtime = nil
  }

  public init(from decoder: any Decoder) throws {
    let found = try decoder.container(keyedBy: CodingKeys.self)
    _threads = try found.decode(Null<Int>.self, forKey: .threads)
    _unit = try EarlierUnit(from: decoder)?.unit ?? found.decode(Null<String>.self, forKey: .unit)
    _cpus = try found.decode(Null<[Int]>.self, forKey: .cpus)
    _length = try found.decode(Null<Int>.self, forKey: .length)
    _runtime = try found.decode(Null<String>.self, forKey: .runtime)
    if let unit, !isUnit(unit) {
      throw InputError("settings.unit is \"\(unit)\"", allowed: "cpu, cpu-fp16, gpu, ane, or npu: and the chip")
    }
  }
}

private func isUnit(_ name: String) -> Bool {
  let chip = name.dropFirst("npu:".count)
  let namesChip = !chip.isEmpty && chip.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
  return ["cpu", "cpu-fp16", "gpu", "ane"].contains(name) || (name.hasPrefix("npu:") && namesChip)
}

/// A compute unit as records had it in two fields.
private struct EarlierUnit {
  enum CodingKeys: String, CodingKey {
    case delegate, computeUnits
  }

  static let names = ["cpu_only": "cpu", "cpu_and_gpu": "gpu", "cpu_and_ne": "ane"]

  let unit: Null<String>

  init?(from decoder: any Decoder) throws {
    let found = try decoder.container(keyedBy: CodingKeys.self)
    if !found.contains(.delegate) { return nil }
    let delegate = try found.decode(String.self, forKey: .delegate)
    let units = try found.decode(Null<String>.self, forKey: .computeUnits).wrappedValue
    unit = Null(wrappedValue: units.map { Self.names[$0] } ?? delegate)
  }
}

/// What was asked: the source's name, its texts, and the rows of tokens that they became.
public struct Texts: Sendable, Equatable, Codable {
  public let source: String
  public let texts: Int
  public let rows: Int

  public init(source: String, texts: Int, rows: Int) {
    self.source = source
    self.texts = texts
    self.rows = rows
  }
}

/// How long it takes to make a text's rows, no part of any latency.
public struct Tokenization: Sendable, Equatable, Codable {
  /// `host` or `device`.
  public let `where`: String
  public let statistics: Statistics

  /// Of texts that this device tokenized.
  public init(onDevice nanoseconds: [Int]) {
    `where` = "device"
    statistics = Statistics(nanoseconds)
  }
}

/// Before anything is warm, apart from the samples.
public struct ColdStart: Facts, Equatable {
  public let unknown: [String: String]
  /// From the start of the process to the runtime being ready to load.
  @Null public private(set) var processNs: Int?
  /// Opening the artifact.
  @Null public private(set) var loadNs: Int?
  /// The first query at each length.
  @Null public private(set) var firstNs: [Int: Int]?

  public init(processNs: Int?, loadNs: Int?, firstNs: [Int: Int]?, unknown: [String: String] = [:]) {
    self.unknown = unknown
    self.processNs = processNs
    self.loadNs = loadNs
    self.firstNs = firstNs
  }
}

/// Resident bytes of the process: before the artifact is opened, and at most after a query at each length.
public struct Memory: Facts, Equatable {
  public let unknown: [String: String]
  @Null public private(set) var baselineBytes: Int?
  @Null public private(set) var peakBytes: Int?

  public init(baselineBytes: Int?, peakBytes: Int?, unknown: [String: String] = [:]) {
    self.unknown = unknown
    self.baselineBytes = baselineBytes
    self.peakBytes = peakBytes
  }
}
