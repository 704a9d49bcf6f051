/// A Unicode scalar's number.
typealias Code = UInt32

/// What a character is to BERT's tokenizer.
struct CharacterKind: OptionSet {
  let rawValue: UInt8

  static let dropped = CharacterKind(rawValue: 1)
  static let space = CharacterKind(rawValue: 2)
  static let punctuation = CharacterKind(rawValue: 4)
  static let mark = CharacterKind(rawValue: 8)
  static let cjk = CharacterKind(rawValue: 16)
}

/// What BERT's tokenizer asks of Unicode, from `UnicodeTables` and never from the device, whose version differs.
enum UnicodeData {
  private static let classes = Runs(UnicodeTables.classes)
  private static let ranks = Runs(UnicodeTables.ranks)
  private static let decompositions = Mappings(UnicodeTables.decompositions)
  private static let hangul = Code(0xAC00)..<Code(0xD7A4)

  /// What a character becomes in lower case, whatever stands beside it.
  static let lowerCase = Mappings(UnicodeTables.lowerCase)

  /// The first code that NFD touches, by itself or among others.
  static let firstDecomposed = decompositions.first

  static func kind(_ code: Code) -> CharacterKind { CharacterKind(rawValue: classes[code]) }

  /// The canonical combining class's rank among all; 0 for a starter.
  static func rank(_ code: Code) -> UInt8 { ranks[code] }

  /// The full canonical decomposition; nil where nothing decomposes.
  static func decomposition(_ code: Code) -> ArraySlice<Code>? {
    guard hangul.contains(code) else { return decompositions[code] }
    let syllable = code - hangul.lowerBound  // section 3.12 of the Unicode Standard
    let parts = [0x1100 + syllable / 588, 0x1161 + syllable % 588 / 28, 0x11A7 + syllable % 28]
    return syllable % 28 == 0 ? parts[..<2] : parts[...]
  }
}

/// A small number for every code, the same over runs of them.
private struct Runs: Sendable {
  private let starts: [Code]
  private let values: [UInt8]
  private let latin: [UInt8]

  init(_ digits: String) {
    var numbers = Digits(digits)
    var starts: [Code] = []
    var values: [UInt8] = []
    var start: Code = 0
    while numbers.hasNext {
      starts.append(start)
      start += numbers.unsigned()
      values.append(UInt8(numbers.unsigned()))
    }
    starts.append(start)
    values.append(0)
    self.starts = starts
    self.values = values
    latin = (0..<latinCount).map { code in values[starts.firstIndex(above: code) - 1] }
  }

  subscript(code: Code) -> UInt8 {
    code < latinCount ? latin[Int(code)] : values[starts.firstIndex(above: code) - 1]
  }
}

/// Codes that become one or more others.
struct Mappings: Sendable {
  private let keys: [Code]
  private let starts: [Int]
  private let targets: [Code]

  /// The smallest code that becomes another.
  var first: Code { keys[0] }

  init(_ digits: String) {
    var numbers = Digits(digits)
    var keys: [Code] = []
    var starts: [Int] = []
    var targets: [Code] = []
    var code: Code = 0
    while numbers.hasNext {
      code += numbers.unsigned()
      keys.append(code)
      starts.append(targets.count)
      for _ in 0..<numbers.unsigned() { targets.append(Code(Int(code) + numbers.signed())) }
    }
    starts.append(targets.count)
    self.keys = keys
    self.starts = starts
    self.targets = targets
  }

  /// What a code becomes; nil if it stays what it is.
  subscript(code: Code) -> ArraySlice<Code>? {
    let row = keys.firstIndex(above: code) - 1
    guard row >= 0, keys[row] == code else { return nil }
    return targets[starts[row]..<starts[row + 1]]
  }
}

private let latinCount: Code = 256

extension Array where Element == Code {
  /// Where the first element above `code` is in this ascending array, by bisection.
  fileprivate func firstIndex(above code: Code) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if self[middle] <= code { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

/// Numbers in base64 VLQ, as `tests/demos/unicode_tables.py` writes them.
private struct Digits {
  private var digits: String.UTF8View.SubSequence

  init(_ digits: String) { self.digits = digits.utf8[...] }

  var hasNext: Bool { !digits.isEmpty }

  mutating func unsigned() -> Code {
    var number: Code = 0
    var shift: Code = 0
    while true {
      let digit = Self.value(digits.removeFirst())
      number |= (digit & 31) << shift
      if digit < 32 { return number }
      shift += 5
    }
  }

  mutating func signed() -> Int {
    let number = unsigned()
    return number & 1 == 1 ? -Int(number >> 1) : Int(number >> 1)
  }

  private static func value(_ digit: UInt8) -> Code {
    switch digit {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): Code(digit - UInt8(ascii: "A"))
    case UInt8(ascii: "a")...UInt8(ascii: "z"): Code(digit - UInt8(ascii: "a")) + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): Code(digit - UInt8(ascii: "0")) + 52
    case UInt8(ascii: "+"): 62
    default: 63
    }
  }
}
