import Foundation

/// Probabilities of logits, of which there is at least one.
func softmax(_ logits: [Float]) -> [Float] {
  let largest = logits.max() ?? 0
  let exponentials = logits.map { exp(Double($0 - largest)) }
  let sum = exponentials.reduce(0, +)
  return exponentials.map { Float($0 / sum) }
}

/// Where the largest value is, the first of several; NaN counts as the largest, as in numpy.
func argmax(_ values: [Float]) -> Int {
  if let index = values.firstIndex(where: \.isNaN) { return index }
  return values.indices.reduce(0) { values[$1] > values[$0] ? $1 : $0 }
}

/// Where the `count` largest values are, in order, the first of equal ones first; NaN comes last.
func largest(_ values: [Float], _ count: Int) -> [Int] {
  var best: [Int] = []
  for index in values.indices {
    let place = best.lastIndex { !precedes(values[index], values[$0]) }.map { $0 + 1 } ?? 0
    if place < count {
      best.insert(index, at: place)
      if best.count > count { best.removeLast() }
    }
  }
  return best
}

private func precedes(_ value: Float, _ other: Float) -> Bool { value > other || (other.isNaN && !value.isNaN) }
