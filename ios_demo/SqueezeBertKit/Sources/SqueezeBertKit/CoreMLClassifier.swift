#if canImport(CoreML)
  import CoreML
  import Foundation

  /// Core ML. Of the unit that is asked for it uses what there is, and the CPU for the rest; by default it decides.
  public struct CoreMLEngine: Engine {
    private static let units: [String: MLComputeUnits] = [
      "cpu": .cpuOnly, "gpu": .cpuAndGPU, "ane": .cpuAndNeuralEngine,
    ]

    public let format = "coreml"
    public let runtime: Runtime

    public init() { runtime = Runtime(name: "coreml", version: systemVersion(), runner: "app", libc: "darwin") }

    /// Compiles the model, if this system has not yet.
    public func prepare(_ bundle: ModelBundle) async throws { _ = try await compiledModel(of: bundle) }

    public func load(_ bundle: ModelBundle, _ settings: Settings) async throws -> sending any Classifier {
      try settings.requireChoosable(units: coreMLUnits)
      return try await CoreMLClassifier.load(bundle, units: settings.unit.flatMap { Self.units[$0] } ?? .all)
    }
  }

  /// A Core ML bundle's artifact in Core ML. Core ML itself chooses the program for a row by its length.
  public final class CoreMLClassifier: Classifier {
    private static let input = "inputs"
    private static let rowsKey = "input_rows"  // written by exporters/coreml/export.py

    private let model: MLModel
    private let rows: [String]

    /// Loads a bundle's model. The first time it is compiled, into the caches directory.
    ///
    /// - Parameter units: where Core ML may compute.
    /// - Throws: `InputError`: the bundle is of another format; Core ML's error: it does not load the model.
    public static func load(
      _ bundle: ModelBundle, units: MLComputeUnits = .all
    ) async throws -> sending CoreMLClassifier {
      if bundle.manifest.format != "coreml" {
        throw InputError("a bundle for \(bundle.manifest.format)", allowed: "coreml")
      }
      let configuration = MLModelConfiguration()
      configuration.computeUnits = units
      let compiled = try await compiledModel(of: bundle)
      return try CoreMLClassifier(MLModel(contentsOf: compiled, configuration: configuration))
    }

    private init(_ model: MLModel) throws {
      let metadata = model.modelDescription.metadata[.creatorDefinedKey] as? [String: String]
      guard let rows = metadata?[Self.rowsKey] else {
        throw InputError("the model does not say what the rows of its input are", hint: "export it again")
      }
      self.model = model
      self.rows = rows.components(separatedBy: ",")
    }

    /// Stacks the inputs as the rows of one array (1, rows, length).
    public func run(_ features: Features, entryPoint: String) throws -> [String: [Float]] {
      try autoreleasepool { try outputs(of: features) }  // else thousands of queries pile up until a thread ends
    }

    private func outputs(of features: Features) throws -> [String: [Float]] {
      let scalars = try rows.flatMap { try features.input($0) }
      let array = MLShapedArray<Int32>(scalars: scalars, shape: [1, rows.count, features.length])
      let inputs = try MLDictionaryFeatureProvider(
        dictionary: [Self.input: MLFeatureValue(multiArray: MLMultiArray(array))])
      let found = try model.prediction(from: inputs)
      var outputs: [String: [Float]] = [:]
      for name in found.featureNames {
        if let values = found.featureValue(for: name)?.multiArrayValue {
          outputs[name] = MLShapedArray<Float>(converting: values).scalars
        }
      }
      return outputs
    }
  }

  /// The bundle's model as this system compiled it: a newer system compiles anew.
  private func compiledModel(of bundle: ModelBundle) async throws -> URL {
    let manager = FileManager.default
    let caches = try manager.url(for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
    let system = ProcessInfo.processInfo.operatingSystemVersionString.filter { $0.isLetter || $0.isNumber }
    let directory = caches.appendingPathComponent("SqueezeBertKit").appendingPathComponent(system)
    let kept = directory.appendingPathComponent("\(bundle.sha256).mlmodelc")
    if manager.fileExists(atPath: kept.path) { return kept }
    let compiled = try await MLModel.compileModel(at: bundle.artifact)
    try manager.createDirectory(at: directory, withIntermediateDirectories: true)
    do {
      try manager.moveItem(at: compiled, to: kept)
    } catch {
      // Two may compile at once: what the other one kept is as good.
      guard manager.fileExists(atPath: kept.path) else { throw error }
    }
    return kept
  }
#endif
