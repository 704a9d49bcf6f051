// As much of ExecuTorch's Swift interface as the kit calls, with the signatures of that project's
// extension/apple/ExecuTorch/Exported (ExecuTorchModule.h as Swift imports it, ExecuTorch+Module.swift,
// ExecuTorch+Tensor.swift, ExecuTorch+Value.swift). Nothing here computes.

import Foundation

public enum DataType: Sendable { case int, float }

public enum ShapeDynamism: Sendable { case dynamicBound }

public enum ModuleLoadMode: Int, Sendable { case file, mmap, mmapUseMlock, mmapUseMlockIgnoreErrors }

public protocol Scalar {
  static var dataType: DataType { get }
}

extension Int32: Scalar { public static var dataType: DataType { .int } }
extension Float: Scalar { public static var dataType: DataType { .float } }

public class AnyTensor: NSObject {}

public final class Tensor<T: Scalar>: Equatable {
  public convenience init(
    _ scalars: [T], shape: [Int] = [], strides: [Int] = [], dimensionOrder: [Int] = [],
    shapeDynamism: ShapeDynamism = .dynamicBound
  ) { self.init(AnyTensor()) }
  public init(_ tensor: AnyTensor) { fatalError() }
  public func scalars() -> [T] { fatalError() }
  public static func == (lhs: Tensor<T>, rhs: Tensor<T>) -> Bool { fatalError() }
}

public class Value: NSObject {
  public func tensor<T: Scalar>() -> Tensor<T>? { fatalError() }
}

public protocol ValueConvertible {
  func asValue() -> Value
}

public protocol ValueConstructible {
  static func from(_ value: Value) throws -> Self
}

public protocol ValueSequenceConstructible {
  static func from(_ values: [Value]) throws -> Self
}

extension Value: ValueConvertible { public func asValue() -> Value { self } }
extension Tensor: ValueConvertible { public func asValue() -> Value { fatalError() } }
extension Value: ValueConstructible { public static func from(_ value: Value) throws -> Self { fatalError() } }
extension Array: ValueSequenceConstructible where Element: ValueConstructible {
  public static func from(_ values: [Value]) throws -> [Element] { fatalError() }
}

public class Module: NSObject {
  public init(filePath: String, dataFilePaths: [String], loadMode: ModuleLoadMode) {}
  public convenience init(filePath: String, loadMode: ModuleLoadMode) {
    self.init(filePath: filePath, dataFilePaths: [], loadMode: loadMode)
  }
  public func load() throws {}
  public func execute(_ method: String, _ inputs: [ValueConvertible]) throws -> [Value] { fatalError() }
  public func execute(_ method: String, _ inputs: ValueConvertible...) throws -> [Value] { fatalError() }
  public func execute<Output: ValueSequenceConstructible>(
    _ method: String, _ inputs: [ValueConvertible]
  ) throws -> Output { fatalError() }
  public func execute<Output: ValueSequenceConstructible>(
    _ method: String, _ inputs: ValueConvertible...
  ) throws -> Output { fatalError() }
}

// Of Objective-C, which Linux lacks.
public func autoreleasepool<Result>(invoking body: () throws -> Result) rethrows -> Result { try body() }
