import Foundation

/// What an artifact says of itself, as it was exported.
package struct Description: Encodable {
  /// Texts by name: a name as it is, everything else as JSON.
  let metadata: [String: String]
  /// The method of each length, whose name is empty where the runtime chooses by shape.
  let entryPoints: [String: String]
}

/// Reads what an artifact says of itself, without its runtime.
///
/// - Parameter format: the manifest's.
/// - Returns: nil where nothing can be read: a format that no app on iOS runs, or what is no artifact, which the runtime
///   refuses.
package func description(of artifact: URL, format: String) -> Description? {
  switch format {
  case "coreml": try? describePackage(artifact)
  case "executorch": try? describeProgram(Data(contentsOf: artifact, options: .alwaysMapped))
  default: nil
  }
}

/// ExecuTorch's: what the method `metadata` returns, and its other methods.
private func describeProgram(_ content: Data) throws -> Description {
  let methods = try Table.root(content, identifier: "ET").tables(Program.plans).map { plan in
    (try plan.name(Plan.name), plan)
  }
  let plans = Dictionary(methods) { $1 }
  var metadata = Data("{}".utf8)
  if let plan = plans["metadata"], let output = try plan.first(Plan.outputs),
    let value = try plan.table(Plan.values, output), try value.kind(Value.kind) == Value.string,
    let string = try value.table(Value.value)
  {
    metadata = try string.data(0)
  }
  let lengths = plans.keys.compactMap { name in name.wholeMatch(of: /length_([0-9]+)/).map { ("\($0.1)", name) } }
  return Description(
    metadata: try read([String: String].self, metadata),
    entryPoints: Dictionary(lengths) { $1 })
}

/// A value of JSON. JSONDecoder would end the process over a control character in a key.
private func read<Value>(_ type: Value.Type, _ json: Data) throws -> Value {
  guard let value = try JSONSerialization.jsonObject(with: json) as? Value else { throw UnreadableArtifact() }
  return value
}

// Fields by number, and one of the kinds of a value (program.fbs of ExecuTorch).
private enum Program { static let plans = 1 }
private enum Plan { static let (name, values, outputs) = (0, 2, 4) }
private enum Value { static let (kind, value, string) = (0, 1, 6) }

/// Core ML's: what is user-defined in the package's model (Model.proto of coremltools).
private func describePackage(_ package: URL) throws -> Description {
  let parts = package.appendingPathComponent("Data")
  let files = try FileManager.default.contentsOfDirectory(at: parts, includingPropertiesForKeys: nil).flatMap { part in
    try FileManager.default.contentsOfDirectory(at: part, includingPropertiesForKeys: nil)
  }.filter { $0.pathExtension == "mlmodel" }
  if files.count != 1 { throw UnreadableArtifact() }
  var entries = [try Data(contentsOf: files[0], options: .alwaysMapped)]
  for number in [2, 100, 100] {  // of a model its description, of that its metadata, of those the user's
    entries = try entries.flatMap { try fields($0).filter { $0.number == number }.map(\.content) }
  }
  var metadata: [String: String] = [:]
  for entry in entries {
    let pair = Dictionary(try fields(entry).map { ($0.number, $0.content) }) { $1 }
    metadata[try text(pair[1] ?? Data())] = try text(pair[2] ?? Data())
  }
  let lengths = try read([Int].self, Data((metadata["lengths"] ?? "[]").utf8))
  return Description(metadata: metadata, entryPoints: Dictionary(lengths.map { ("\($0)", "") }) { $1 })
}

/// The fields of a protobuf message that have a length (https://protobuf.dev/programming-guides/encoding).
private func fields(_ message: Data) throws -> [(number: UInt64, content: Data)] {
  var found: [(UInt64, Data)] = []
  var place = 0
  while place < message.count {
    let key = try varint(message, &place)
    switch key & 7 {
    case 0: _ = try varint(message, &place)
    case 1: place += 8
    case 5: place += 4
    case 2:
      guard let size = Int(exactly: try varint(message, &place)) else { throw UnreadableArtifact() }
      found.append((key >> 3, try message.bytes(size, at: place)))
      place += size
    default: throw UnreadableArtifact()
    }
  }
  return found
}

/// An integer, and `place` behind it.
private func varint(_ message: Data, _ place: inout Int) throws -> UInt64 {
  var value: UInt64 = 0
  for (index, byte) in message.dropFirst(place).prefix(10).enumerated() {
    value |= UInt64(byte & 0x7F) << (7 * UInt64(index))
    if byte < 0x80 {
      place += index + 1
      return value
    }
  }
  throw UnreadableArtifact()
}
