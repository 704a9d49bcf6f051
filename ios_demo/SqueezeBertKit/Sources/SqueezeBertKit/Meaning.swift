import Foundation

extension ModelBundle {
  /// Refuses a manifest that does not mean what its artifact says of itself. Hashes see what was altered after it was
  /// written; they see neither what was written wrong, nor who made them anew.
  ///
  /// What an artifact does not say is not compared: those of earlier versions say less.
  ///
  /// - Throws: `InputError`: they contradict each other; it says in what.
  func requireArtifactAgrees() throws {
    guard let said = description(of: artifact, format: manifest.format) else { return }
    let meaning = meaning(of: manifest)
    var found: [String: Any] = [:]
    for (name, like) in meaning { found[name] = said.metadata[name].map { value($0, like: like) } }
    if !said.entryPoints.isEmpty { found["entry_points"] = said.entryPoints }
    let differences = try differences(meaning, found).map { name, here, there in
      "\(name) is \(here) in the manifest, \(there) in the artifact"
    }
    if !differences.isEmpty {
      let listed = differences.joined(separator: "; ")
      throw InputError(
        "\(directory.path): the manifest and the artifact contradict each other: \(listed)", hint: "export it again")
    }
  }
}

/// By name, as `JSONSerialization` gives it.
private func meaning(of manifest: Manifest) -> [String: Any] {
  let flags = manifest.tokenizer
  let tokens = flags.specialTokens.map { ($0.key.rawValue, $0.value) }
  return [
    "source_sha256": manifest.source.sha256,
    "task": manifest.task,
    "problem_type": manifest.problemType as Any? ?? NSNull(),
    "labels": manifest.labels,
    "tokenizer": [
      "lower_case": flags.lowerCase, "strip_accents": flags.stripAccents, "cjk": flags.cjk,
      "max_word": flags.maxWord, "special_tokens": Dictionary(uniqueKeysWithValues: tokens),
    ] as [String: Any],
    "vocabulary_sha256": manifest.files["vocab.txt"] as Any? ?? NSNull(),
    "precision": manifest.precision.exact,
    "form": manifest.form,
    "lengths": manifest.lengths,
    "entry_points": Dictionary(uniqueKeysWithValues: manifest.entryPoints.map { ("\($0)", $1) }),
  ]
}

/// A text of an artifact's metadata as what stands in the manifest in its place.
private func value(_ said: String, like: Any) -> Any {
  if like is String, !said.hasPrefix("\""), !said.hasPrefix("null") { return said }
  return (try? JSONSerialization.jsonObject(with: Data(said.utf8), options: .fragmentsAllowed)) ?? said
}

/// The name of each thing that is not the same, and what it is in both.
private func differences(
  _ manifest: [String: Any], _ found: [String: Any]
) throws -> [(name: String, here: String, there: String)] {
  try found.sorted { $0.key < $1.key }.flatMap { name, there -> [(name: String, here: String, there: String)] in
    let here = manifest[name] ?? NSNull()
    if let one = here as? [String: Any], let other = there as? [String: Any], one.keys == other.keys {
      return try differences(one, other).map { ("\(name).\($0.name)", $0.here, $0.there) }
    }
    // Bytes are compared: to String, canonically equivalent texts are equal.
    let (one, other) = try (written(here), written(there))
    return one == other ? [] : [(name, quoted(one), quoted(other))]
  }
}

private func written(_ value: Any) throws -> Data {
  try JSONSerialization.data(withJSONObject: value, options: [.fragmentsAllowed, .sortedKeys, .withoutEscapingSlashes])
}

private func quoted(_ json: Data) -> String {
  let text = String(decoding: json, as: UTF8.self)
  return text.count <= longestValue ? text : text.prefix(longestValue - 3) + "..."
}

/// Characters of a value that a message shows.
private let longestValue = 80
