import ExecuTorch
import ExecuTorchThreads
import Foundation
import SqueezeBertKit

/// ExecuTorch with XNNPACK on the CPU. Its threads are the whole process's: where the settings name a number, nothing else
/// may be computed while a bundle is loaded.
public struct ExecuTorchEngine: Engine {
  /// The release that Package.swift names: the runtime itself does not say.
  public static let version = "1.5.1"

  public let format = "executorch"
  public let runtime = Runtime(name: "executorch", version: version, runner: "app", libc: "darwin")

  public init() {}

  public func load(_ bundle: ModelBundle, _ settings: Settings) async throws -> sending any Classifier {
    try settings.requireChoosable(threads: true)
    if let threads = settings.threads {
      guard let count = UInt32(exactly: threads), executorch_use_threads(count) else {
        throw InputError("ExecuTorch does not take \(threads) threads")
      }
    }
    return try ExecuTorchClassifier(bundle)
  }
}

/// An ExecuTorch bundle's program: one method for each length, loaded by its first row.
public final class ExecuTorchClassifier: Classifier {
  private let module: Module
  private let inputs: [String]
  private let outputs: [String]

  /// Maps the bundle's program into memory.
  ///
  /// - Throws: `InputError`: the bundle is of another format; ExecuTorch's error: it does not load the program.
  public init(_ bundle: ModelBundle) throws {
    if bundle.manifest.format != "executorch" {
      throw InputError("a bundle for \(bundle.manifest.format)", allowed: "executorch")
    }
    module = Module(filePath: bundle.artifact.path, loadMode: .mmap)
    inputs = bundle.manifest.inputs.map(\.name)
    outputs = bundle.manifest.outputs.map(\.name)
    try module.load()
  }

  /// Hands over a tensor (1, length) for each of the bundle's inputs, in their order.
  public func run(_ features: Features, entryPoint: String) throws -> [String: [Float]] {
    try autoreleasepool {  // else thousands of queries pile up until a thread ends
      let tensors = try inputs.map { Tensor<Int32>(try features.input($0), shape: [1, features.length]) }
      let found: [Value] = try module.execute(entryPoint, tensors)
      let values = try found.map { value in
        guard let tensor: Tensor<Float> = value.tensor() else {
          throw InputError("\(entryPoint) gave something else than a tensor of float32", hint: "export it again")
        }
        return tensor.scalars()
      }
      if values.count != outputs.count {
        throw InputError("\(entryPoint) gave \(values.count) outputs", allowed: outputs.joined(separator: ", "))
      }
      return Dictionary(uniqueKeysWithValues: zip(outputs, values))
    }
  }
}
