import Foundation

/// An input or output as the artifact declares it; a null dimension is the sequence length.
public struct TensorSpec: Sendable, Equatable, Decodable {
  public let name: String
  public let dtype: String
  public let shape: [Int?]
}

/// What an app needs of a bundle's manifest.json; docs/manifest.md describes all of it.
public struct Manifest: Sendable, Decodable {
  /// The checkpoint as it was named, and the hash of its contents.
  public struct Source: Sendable, Decodable {
    public let checkpoint: String
    public let sha256: String
  }

  /// The precision as it was asked for, and the exact one.
  public struct Precision: Sendable, Decodable {
    public let name: String
    public let exact: String
  }

  /// `verified`, `failed` or `not verified`.
  public struct Verification: Sendable, Codable {
    public let status: String
  }

  /// How a compute unit beside the CPU runs the bundle: the file that serves each length, and its proof.
  public struct UnitRecord: Sendable, Codable {
    public let files: [Int: String]
    public let verification: Verification
  }

  public let source: Source
  /// `executorch`, `coreml` or `tflite`.
  public let format: String
  /// The model's name in the bundle.
  public let artifact: String
  /// The head, by Hugging Face's pipeline name.
  public let task: String
  /// Of a text classifier; nil means a number where there is one label, and one of several otherwise.
  public let problemType: String?
  /// In the order of the outputs.
  public let labels: [String]
  public let precision: Precision
  /// How the network is laid out.
  public let form: String
  /// The sequence lengths, ascending.
  public let lengths: [Int]
  /// The method or signature that serves each length; empty where the runtime chooses by shape.
  public let entryPoints: [Int: String]
  public let inputs: [TensorSpec]
  public let outputs: [TensorSpec]
  public let tokenizer: TokenizerFlags
  public let verification: Verification
  /// The compute unit that `verification` is of; nil where the phone decides which one runs the artifact, as Core ML
  /// does, and in bundles of before there was another.
  public let unit: String?
  /// Further compute units that the bundle was made and proven for, by name: `gpu`, or `npu:` and the chip.
  public let units: [String: UnitRecord]?
  /// sha256 of every other file, by path in the bundle.
  public let files: [String: String]

  private struct Version: Decodable {
    let schemaVersion: Int
  }

  /// Reads a manifest.json.
  ///
  /// - Throws: `InputError`: it is no manifest, or of a schema that this version does not know.
  public init(_ content: Data) throws {
    let version = try decoded(Version.self, from: content).schemaVersion
    if version != 1 {
      throw InputError(
        "schema_version \(version)", allowed: "1",
        hint: "take the kit of the squeezebert-edge that wrote it, or export again")
    }
    self = try decoded(Manifest.self, from: content)
    if lengths.first.map({ $0 < 1 }) ?? true || zip(lengths, lengths.dropFirst()).contains(where: { $0 >= $1 }) {
      throw InputError("lengths are \(lengths)", allowed: "positive and ascending")
    }
    if let problemType, !problemTypes.contains(problemType) {
      throw InputError("problem_type is \"\(problemType)\"", allowed: problemTypes.joined(separator: ", "))
    }
    try requireLengths("entry_points", entryPoints)
    for (name, unit) in units ?? [:] { try requireLengths("units.\(name).files", unit.files) }
  }
}

private let problemTypes = ["regression", "single_label_classification", "multi_label_classification"]

extension Manifest {
  private func requireLengths(_ what: String, _ found: [Int: String]) throws {
    if found.keys.sorted() != lengths {
      throw InputError("\(what) are for \(found.keys.sorted())", allowed: "one for each of the lengths \(lengths)")
    }
  }
}

extension TokenizerFlags: Decodable {
  private enum CodingKeys: String, CodingKey, CaseIterable {
    case lowerCase, stripAccents, cjk, maxWord, specialTokens
  }

  /// The flags of a bundle's manifest; every key is required, none other is allowed.
  public init(from decoder: any Decoder) throws {
    try decoder.requireOnly(CodingKeys.allCases)
    let values = try decoder.container(keyedBy: CodingKeys.self)
    try self.init(
      lowerCase: values.decode(Bool.self, forKey: .lowerCase),
      stripAccents: values.decode(Bool.self, forKey: .stripAccents),
      cjk: values.decode(Bool.self, forKey: .cjk),
      maxWord: values.decode(Int.self, forKey: .maxWord),
      specialTokens: values.decode([Role: String].self, forKey: .specialTokens))
  }
}
