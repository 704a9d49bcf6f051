import Foundation

/// What a computer asks of an app by files in its documents, as docs/app_job.md has it.
public struct Job: Sendable {
  enum Work: Sendable {
    case measure(MeasurementProtocol)
    case answer
  }

  let directory: URL
  let work: Work
  let settings: Settings
  let rows: [Features]

  /// Does the job of that ID; what goes wrong is its result, too, and is given back for a person to read.
  ///
  /// - Parameters:
  ///   - id: 16 lower-case hexadecimal digits: never a path.
  ///   - documents: the app's own, where `jobs/ID/job.json` is.
  ///   - engines: one for each format that the app can run.
  /// - Returns: what went wrong, if anything did.
  /// - Throws: `InputError`: there is no such job; or the result cannot be written.
  public static func run(
    _ id: String, in documents: URL, engines: [any Engine], on facts: any DeviceFacts,
    progress: @escaping @Sendable (Benchmark.Progress) -> Void = { _ in }
  ) async throws -> String? {
    let directory = try directory(of: id, in: documents)
    var problem: String?
    let result: Data
    do {
      result = try await Job(at: directory).result(engines, facts, progress)
    } catch {
      problem = "\(error)"
      result = try encoded(["error": problem])
    }
    try result.write(to: directory.appendingPathComponent("result.json"), options: .atomic)
    return problem
  }

  /// Where a job is: a directory of its own below the documents, reached through no link.
  static func directory(of id: String, in documents: URL) throws -> URL {
    if id.utf8.count != 16 || !id.utf8.allSatisfy({ "0123456789abcdef".utf8.contains($0) }) {
      throw InputError("job \"\(id)\"", allowed: "an ID of 16 lower-case hexadecimal digits")
    }
    let root = documents.resolvingSymlinksInPath()
    let directory = root.appendingPathComponent("jobs", isDirectory: true).appendingPathComponent(id)
    if directory.resolvingSymlinksInPath().path != directory.path
      || !FileManager.default.fileExists(atPath: directory.appendingPathComponent(jobName).path)
    {
      throw InputError("no job \(id)", allowed: "one whose Documents/jobs/ID/\(jobName) is in this app")
    }
    return directory
  }

  /// Reads what is asked.
  ///
  /// - Throws: `InputError`: a version, a key or rows that this app does not know what to do with.
  init(at directory: URL) throws {
    let content = try Data(contentsOf: directory.appendingPathComponent(jobName))
    let request: Request
    do {
      request = try decoded(Request.self, from: content)
    } catch let error as InputError {
      throw InputError("\(jobName): \(error.problem)", allowed: error.allowed, hint: error.hint)
    }
    self.directory = directory
    work = try request.checkedWork
    settings = request.settings
    rows = try request.features
  }

  private func result(
    _ engines: [any Engine], _ facts: any DeviceFacts, _ progress: @escaping @Sendable (Benchmark.Progress) -> Void
  ) async throws -> Data {
    let bundle = try ModelBundle(at: directory.appendingPathComponent("bundle", isDirectory: true))
    if let row = rows.first(where: { !bundle.manifest.lengths.contains($0.length) }) {
      throw InputError(
        "a row of length \(row.length)", allowed: bundle.manifest.lengths.map(String.init).joined(separator: ", "))
    }
    let engine = try engines.engine(for: bundle)
    switch work {
    case .measure(let measurementProtocol):
      let benchmark = Benchmark(bundle, rows: rows, settings: settings, by: measurementProtocol)
      return try encoded(["run": await benchmark.run(with: engine, on: facts, progress: progress)])
    case .answer:
      progress(.loading)
      let classifier = try await engine.load(bundle, settings)
      return try encoded(["shapes": answers(of: classifier, bundle.manifest)])
    }
  }

  /// Writes every output of every row to outputs.bin; gives their shapes.
  private func answers(of classifier: any Classifier, _ manifest: Manifest) throws -> [[[Int]]] {
    let whole = directory.appendingPathComponent("outputs.bin")
    let partial = whole.appendingPathExtension("partial")
    try Data().write(to: partial)
    let file = try FileHandle(forWritingTo: partial)
    let shapes = try rows.map { row in
      try Task.checkCancellation()
      let outputs = try classifier.run(row, entryPoint: manifest.entryPoints[row.length] ?? "")
      return try manifest.outputs.map { output in
        let shape = output.shape.map { $0 ?? row.length }
        guard let values = outputs[output.name], values.count == shape.reduce(1, *) else {
          throw InputError(
            "the runtime gave \(outputs[output.name]?.count ?? 0) values for \(output.name)", allowed: "\(shape)")
        }
        try file.write(contentsOf: values.map(\.bitPattern.littleEndian).withUnsafeBytes { Data($0) })
        return shape
      }
    }
    try file.close()
    try? FileManager.default.removeItem(at: whole)
    try FileManager.default.moveItem(at: partial, to: whole)
    return shapes
  }
}

private let jobName = "job.json"
private let version = 2

/// job.json. A key that is not read here is refused: nothing that was asked is ignored.
private struct Request: Decodable {
  struct Row: Decodable {
    let length: Int
    let values: [[Int32]]

    enum CodingKeys: String, CodingKey, CaseIterable {
      case length, values
    }

    init(from decoder: any Decoder) throws {
      try decoder.requireOnly(CodingKeys.allCases)
      let found = try decoder.container(keyedBy: CodingKeys.self)
      length = try found.decode(Int.self, forKey: .length)
      values = try found.decode([[Int32]].self, forKey: .values)
    }
  }

  let work: String
  let settings: Settings
  let measurementProtocol: MeasurementProtocol?
  let inputs: [String]
  let rows: [Row]

  enum CodingKeys: String, CodingKey, CaseIterable {
    case jobVersion, work, settings, `protocol`, inputs, rows
  }

  init(from decoder: any Decoder) throws {
    let found = try decoder.container(keyedBy: CodingKeys.self)
    let asked = try found.decode(Int.self, forKey: .jobVersion)
    if asked != version {
      throw InputError("job_version \(asked)", allowed: "\(version)", hint: "take the app of that squeezebert-edge")
    }
    try decoder.requireOnly(CodingKeys.allCases)
    work = try found.decode(String.self, forKey: .work)
    try found.superDecoder(forKey: .settings).requireOnly(Settings.CodingKeys.allCases)
    settings = try found.decode(Settings.self, forKey: .settings)
    measurementProtocol = try found.decode(Null<MeasurementProtocol>.self, forKey: .protocol).wrappedValue
    if measurementProtocol != nil {
      try found.superDecoder(forKey: .protocol).requireOnly(MeasurementProtocol.CodingKeys.allCases)
    }
    inputs = try found.decode([String].self, forKey: .inputs)
    rows = try found.decode([Row].self, forKey: .rows)
  }

  /// The work, with what belongs to it.
  var checkedWork: Job.Work {
    get throws {
      switch (work, measurementProtocol) {
      case ("measure", let asked?) where asked.queries > 0: .measure(asked)
      case ("answer", nil): .answer
      default:
        throw InputError(
          "work \"\(work)\" \(measurementProtocol == nil ? "without" : "with") a protocol",
          allowed: "\"measure\" with one of at least a query, \"answer\" without")
      }
    }
  }

  /// The rows as a runtime takes them.
  var features: [Features] {
    get throws {
      if rows.isEmpty || inputs.isEmpty || Set(inputs).count != inputs.count {
        throw InputError("\(rows.count) rows of inputs \(inputs)", allowed: "at least one row of inputs named once")
      }
      return try rows.enumerated().map { index, row in
        if row.values.count != inputs.count || row.values.contains(where: { $0.count != row.length }) {
          throw InputError(
            "row \(index): \(row.values.map(\.count)) values", allowed: "\(inputs.count) times \(row.length)")
        }
        if let length = settings.length, length != row.length {
          throw InputError("row \(index) has a length of \(row.length)", allowed: "\(length), as the settings say")
        }
        return Features(length: row.length, inputs: Dictionary(uniqueKeysWithValues: zip(inputs, row.values)))
      }
    }
  }
}
