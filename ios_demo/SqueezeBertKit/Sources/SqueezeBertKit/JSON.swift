import Foundation

/// A value from JSON with keys in snake_case.
///
/// - Throws: `InputError`: no JSON; or it names the field which is missing or of another type.
package func decoded<Value: Decodable>(_ type: Value.Type, from content: Data) throws -> Value {
  // JSONDecoder ends the process over a control character in a key.
  if (try? JSONSerialization.jsonObject(with: content, options: .fragmentsAllowed)) == nil {
    throw InputError("the whole is not JSON")
  }
  let decoder = JSONDecoder()
  decoder.keyDecodingStrategy = .convertFromSnakeCase
  do {
    return try decoder.decode(type, from: content)
  } catch DecodingError.keyNotFound(let key, let context) {
    throw InputError("\(path(context.codingPath + [key])) is missing")
  } catch DecodingError.typeMismatch(let type, let context) {
    throw InputError("\(path(context.codingPath)) is of another type", allowed: "\(type)")
  } catch DecodingError.valueNotFound(let type, let context) {
    throw InputError("\(path(context.codingPath)) is null", allowed: "\(type)")
  } catch DecodingError.dataCorrupted(let context) {
    throw InputError("\(path(context.codingPath)): \(context.debugDescription)")
  }
}

/// A value as JSON on one line, with keys in snake_case.
package func encoded(_ value: some Encodable) throws -> Data {
  let encoder = JSONEncoder()
  encoder.keyEncodingStrategy = .convertToSnakeCase
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  return try encoder.encode(value)
}

extension Decoder {
  /// Refuses a key that is none of `known`: what is not read would be ignored.
  func requireOnly(_ known: [any CodingKey]) throws {
    let keys = try container(keyedBy: AnyKey.self).allKeys.map(\.stringValue)
    if let unknown = keys.first(where: { key in !known.contains { $0.stringValue == key } }) {
      throw InputError("\(path(codingPath)) has an unknown \"\(unknown)\"", hint: "take the release that wrote it")
    }
  }
}

private struct AnyKey: CodingKey {
  let stringValue: String
  let intValue: Int? = nil

  init(stringValue: String) { self.stringValue = stringValue }

  init?(intValue: Int) { nil }
}

private func path(_ keys: [any CodingKey]) -> String {
  keys.isEmpty ? "the whole" : keys.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
}
