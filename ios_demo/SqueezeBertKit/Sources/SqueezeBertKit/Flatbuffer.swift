import Foundation

/// An artifact is damaged, or none.
struct UnreadableArtifact: Error {}

/// A table of a FlatBuffers file (https://flatbuffers.dev/internals); its fields are numbered as the schema lists them, a
/// union taking two.
///
/// Whatever a damaged file says, reading it ends with `UnreadableArtifact`, and soon: what is read so has few entries, and
/// none of them is long.
struct Table {
  private static let most = 1 << 12
  private static let longestName = 1 << 16
  private static let longest = 1 << 22

  private let content: Data
  private let position: Int

  private init(_ content: Data, at place: Int) throws {
    self.content = content
    position = try place + content.number(4, at: place)
  }

  /// The table that a file begins with.
  ///
  /// - Parameter identifier: how the file's identifier, from its fifth byte on, begins.
  static func root(_ content: Data, identifier: String) throws -> Table {
    guard try content.bytes(identifier.utf8.count, at: 4).elementsEqual(identifier.utf8) else {
      throw UnreadableArtifact()
    }
    return try Table(content, at: 0)
  }

  /// Which of a union's types the field after this one has, 0 for none.
  func kind(_ field: Int) throws -> Int { try place(field).map { try content.number(1, at: $0) } ?? 0 }

  /// A table, nil where it is left out.
  func table(_ field: Int) throws -> Table? { try place(field).map { try Table(content, at: $0) } }

  /// A vector's tables.
  func tables(_ field: Int) throws -> [Table] {
    let (start, count) = try vector(field, of: 4)
    if count > Self.most { throw UnreadableArtifact() }
    return try (0..<count).map { try Table(content, at: start + 4 * $0) }
  }

  /// A vector's table; nil where the vector is shorter.
  func table(_ field: Int, _ index: Int) throws -> Table? {
    let (start, count) = try vector(field, of: 4)
    return index < count ? try Table(content, at: start + 4 * index) : nil
  }

  /// The first of a vector's integers; nil where it has none.
  func first(_ field: Int) throws -> Int? {
    let (start, count) = try vector(field, of: 4)
    return count > 0 ? try content.number(4, at: start) : nil
  }

  /// A vector's bytes, none where it is left out.
  func data(_ field: Int) throws -> Data { try data(field, Self.longest) }

  /// A string, empty where it is left out.
  func name(_ field: Int) throws -> String { try text(data(field, Self.longestName)) }

  private func data(_ field: Int, _ most: Int) throws -> Data {
    let (start, count) = try vector(field, of: 1)
    if count > most { throw UnreadableArtifact() }
    return try content.bytes(count, at: start)
  }

  /// Where a vector's elements begin, and how many there are.
  private func vector(_ field: Int, of size: Int) throws -> (start: Int, count: Int) {
    guard let place = try place(field) else { return (0, 0) }
    let vector = try place + content.number(4, at: place)
    let count = try content.number(4, at: vector)
    if count * size > content.count - vector - 4 { throw UnreadableArtifact() }
    return (vector + 4, count)
  }

  /// Where a field lies; nil where it is left out.
  private func place(_ field: Int) throws -> Int? {
    let fields = try position - Int(Int32(truncatingIfNeeded: content.number(4, at: position)))
    let entry = 4 + 2 * field
    if try entry + 2 > content.number(2, at: fields) { return nil }
    let offset = try content.number(2, at: fields + entry)
    return offset == 0 ? nil : position + offset
  }
}

/// Bytes as UTF-8.
func text(_ bytes: Data) throws -> String {
  guard let found = String(validating: bytes, as: UTF8.self) else { throw UnreadableArtifact() }
  return found
}

extension Data {
  /// Bytes from a place on, all of which there are.
  func bytes(_ size: Int, at place: Int) throws -> Data {
    guard size >= 0, place >= 0, place <= count - size else { throw UnreadableArtifact() }
    return self[startIndex + place..<startIndex + place + size]
  }

  /// An unsigned integer of some bytes, the last the most significant.
  fileprivate func number(_ size: Int, at place: Int) throws -> Int {
    try bytes(size, at: place).reversed().reduce(0) { $0 << 8 | Int($1) }
  }
}
