import Foundation

/// An opened bundle, its files found to be those that were written.
public struct ModelBundle: Sendable {
  /// Where it is.
  public let directory: URL
  public let manifest: Manifest
  /// The manifest's sha256: no other bundle has it.
  public let sha256: String

  /// Where its artifact is.
  public var artifact: URL { directory.appendingPathComponent(manifest.artifact) }

  /// The bytes of its artifact, a file or a directory.
  public var artifactBytes: Int {
    get throws {
      let name = manifest.artifact
      return try manifest.files.keys.filter { $0 == name || $0.hasPrefix(name + "/") }.reduce(0) { sum, path in
        try sum + Data(contentsOf: directory.appendingPathComponent(path), options: .alwaysMapped).count
      }
    }
  }

  /// Opens a bundle and checks every file against the manifest, and the manifest against the artifact. It reads all of
  /// it: not on the main actor.
  ///
  /// - Throws: `InputError`: not a bundle, a schema this version does not know, a file that is missing, foreign or
  ///   altered, a manifest that contradicts the artifact, or a bundle whose proof failed.
  public init(at directory: URL) throws {
    let content: Data
    let sealed: Data
    do {
      content = try Data(contentsOf: directory.appendingPathComponent(manifestName))
      sealed = try Data(contentsOf: directory.appendingPathComponent(sealName))
    } catch {
      throw InputError(
        "\(directory.path): not a bundle, \(manifestName) or \(sealName) cannot be read",
        allowed: "what `squeezebert-edge export` wrote")
    }
    self.directory = directory
    sha256 = String(decoding: sealed, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    if SqueezeBertKit.sha256(of: content) != sha256 {
      throw InputError("\(directory.path): \(manifestName) is not as it was written", hint: exportAgain)
    }
    do {
      manifest = try Manifest(content)
    } catch let error as InputError {
      throw InputError("\(directory.path): \(manifestName): \(error.problem)", allowed: error.allowed, hint: error.hint)
    }
    try check(directory, manifest.files)
    let artifact = manifest.artifact
    if !manifest.files.keys.contains(where: { $0 == artifact || $0.hasPrefix(artifact + "/") }) {
      throw InputError("\(directory.path): its artifact \(artifact) is none of its files")
    }
    for (name, unit) in manifest.units ?? [:] {
      if let foreign = unit.files.values.first(where: { manifest.files[$0] == nil }) {
        throw InputError("\(directory.path): \(name) runs \(foreign), none of its files")
      }
    }
    try requireArtifactAgrees()
    if manifest.verification.status == "failed" {
      throw InputError(
        "\(directory.path) is not equal to the float model",
        hint: "squeezebert-edge verify BUNDLE, or export again in another precision or form")
    }
  }

  /// The tokenizer that the bundle's vocabulary and manifest make.
  public func tokenizer() throws -> Tokenizer {
    let content = try Data(contentsOf: directory.appendingPathComponent("vocab.txt"))
    return try Tokenizer(vocabulary: vocabulary(content), flags: manifest.tokenizer)
  }
}

private let manifestName = "manifest.json"
private let sealName = "manifest.sha256"
private let exportAgain = "export it again, and copy all of it"

private func check(_ directory: URL, _ expected: [String: String]) throws {
  let found = try paths(in: directory).subtracting([manifestName, sealName])
  let known = Set(expected.keys)
  let altered = try found.intersection(known).filter { path in
    try sha256(of: directory.appendingPathComponent(path)) != expected[path]
  }
  let changes = [
    ("missing", known.subtracting(found)), ("not in the manifest", found.subtracting(known)), ("altered", altered),
  ].filter { !$0.1.isEmpty }
  if !changes.isEmpty {
    let listed = changes.map { "\($0): \($1.sorted().joined(separator: ", "))" }.joined(separator: "; ")
    throw InputError("\(directory.path): not as it was written: \(listed)", hint: exportAgain)
  }
}

/// The paths of all files below a directory; links are refused.
private func paths(in directory: URL, prefix: String = "") throws -> Set<String> {
  let manager = FileManager.default
  var found: Set<String> = []
  for name in try manager.contentsOfDirectory(atPath: directory.path) {
    let entry = directory.appendingPathComponent(name)
    switch try manager.attributesOfItem(atPath: entry.path)[.type] as? FileAttributeType {
    case .typeSymbolicLink: throw InputError("\(entry.path): a link, where a bundle has files only")
    case .typeDirectory: found.formUnion(try paths(in: entry, prefix: prefix + name + "/"))
    default: found.insert(prefix + name)
    }
  }
  return found
}
