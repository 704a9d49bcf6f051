/// A runtime that an app has: it opens the bundles of one format.
public protocol Engine: Sendable {
  /// As manifests have it.
  var format: String { get }
  /// As records have it.
  var runtime: Runtime { get }

  /// Does what is done once for a bundle and then kept: no part of a cold start.
  func prepare(_ bundle: ModelBundle) async throws

  /// Opens a bundle's artifact.
  ///
  /// - Throws: `InputError`: a setting that this runtime cannot honour; or the runtime's own error.
  func load(_ bundle: ModelBundle, _ settings: Settings) async throws -> sending any Classifier
}

extension Engine {
  public func prepare(_ bundle: ModelBundle) async throws {}
}

extension Sequence<any Engine> {
  /// The engine of a bundle's format.
  ///
  /// - Throws: `InputError`: there is none.
  public func engine(for bundle: ModelBundle) throws -> any Engine {
    guard let engine = first(where: { $0.format == bundle.manifest.format }) else {
      throw InputError(
        "no runtime for a bundle of \(bundle.manifest.format)",
        allowed: map(\.format).sorted().joined(separator: ", "))
    }
    return engine
  }
}

/// The compute units that Core ML may be asked for; without any it decides.
public let coreMLUnits = ["cpu", "gpu", "ane"]

extension Settings {
  /// Refuses what no app on iOS can choose, since nothing that is asked may be ignored.
  ///
  /// - Parameters:
  ///   - hasThreads: whether the runtime lets an app choose their number.
  ///   - units: those that an app may ask it for.
  public func requireChoosable(threads hasThreads: Bool = false, units: [String] = ["cpu"]) throws {
    if let threads, !hasThreads || threads < 1 {
      throw InputError("threads: \(threads)", allowed: hasThreads ? "1 or more" : "null: Core ML decides")
    }
    if let unit, !units.contains(unit) {
      throw InputError("unit \(unit)", allowed: units.joined(separator: ", "))
    }
    if cpus != nil { throw InputError("cpus", allowed: "null: iOS does not bind threads to CPUs") }
    if runtime != nil { throw InputError("runtime", allowed: "null: the app has one for each format") }
  }
}
