// As much of Core ML's interface as the kit calls (developer.apple.com/documentation/coreml), so that Linux can check
// its types. Nothing here computes.

import Foundation

public enum MLComputeUnits: Sendable {
  case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine
}

public class MLModelConfiguration {
  public init() {}
  public var computeUnits = MLComputeUnits.all
}

public struct MLModelMetadataKey: Hashable, Sendable {
  public static let creatorDefinedKey = MLModelMetadataKey()
}

public class MLModelDescription {
  public var metadata: [MLModelMetadataKey: Any] { fatalError() }
}

public class MLMultiArray {
  public convenience init<Scalar>(_ array: MLShapedArray<Scalar>) { fatalError() }
}

public struct MLShapedArray<Scalar> {
  public init(scalars: some Sequence<Scalar>, shape: [Int]) { fatalError() }
  public init(converting: MLMultiArray) { fatalError() }
  public var scalars: [Scalar] { fatalError() }
}

public class MLFeatureValue {
  public convenience init(multiArray: MLMultiArray) { fatalError() }
  public var multiArrayValue: MLMultiArray? { fatalError() }
}

public protocol MLFeatureProvider {
  var featureNames: Set<String> { get }
  func featureValue(for name: String) -> MLFeatureValue?
}

public class MLDictionaryFeatureProvider: MLFeatureProvider {
  public init(dictionary: [String: Any]) throws { fatalError() }
  public var featureNames: Set<String> { fatalError() }
  public func featureValue(for name: String) -> MLFeatureValue? { fatalError() }
}

public class MLModel {
  public init(contentsOf: URL, configuration: MLModelConfiguration) throws { fatalError() }
  public var modelDescription: MLModelDescription { fatalError() }
  public func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider { fatalError() }
  public static func compileModel(at url: URL) async throws -> URL { fatalError() }
}

// Of Objective-C, which Linux lacks.
public func autoreleasepool<Result>(invoking body: () throws -> Result) rethrows -> Result { try body() }
