/// A scalar of a normalized text, and the place in the text that it came from.
struct Placed {
  let code: Code
  let source: Int
}

/// The canonical ordering of NFD: what stands between two starters is sorted by combining class.
///
/// Sources are given out as the `tokenizers` library aligns them: in the order in which characters came, one to every
/// scalar that led its decomposition; any other scalar gets the last one given.
struct CombiningMarks {
  private var waiting: [(code: Code, leads: Bool)] = []
  private var sources: [Int] = []
  private var source = 0

  var isEmpty: Bool { waiting.isEmpty }

  /// A mark waits for its order; `leads` if it is the first of its decomposition.
  mutating func wait(_ code: Code, source: Int, leads: Bool) {
    waiting.append((code, leads))
    if leads { sources.append(source) }
  }

  /// A starter, which stands where it stood. Nothing waits.
  mutating func starter(_ code: Code, source: Int, leads: Bool) -> Placed {
    if leads { self.source = source }
    return Placed(code: code, source: self.source)
  }

  /// What waited, in order.
  mutating func take() -> [Placed] {
    // The place in the low half keeps equal classes in their order.
    let order = waiting.indices.map { UInt64(UnicodeData.rank(waiting[$0].code)) << 32 | UInt64($0) }.sorted()
    var used = 0
    let placed = order.map { key in
      let (code, leads) = waiting[Int(key & 0xFFFF_FFFF)]
      if leads {
        source = sources[used]
        used += 1
      }
      return Placed(code: code, source: source)
    }
    waiting.removeAll(keepingCapacity: true)
    sources.removeAll(keepingCapacity: true)
    return placed
  }
}
