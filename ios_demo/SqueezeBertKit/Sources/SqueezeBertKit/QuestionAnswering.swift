/// The span of the context that answers the question (SQuAD 1.1): the best valid one over all windows.
public struct QuestionAnswering: Head {
  private static let bestPositions = 20
  private static let longestAnswer = 30  // tokens; SQuAD's usual bound

  public var perToken: Set<String> { ["start_logits", "end_logits"] }

  /// A question and its context.
  public func ask(_ texts: [String]) throws -> Example {
    if texts.count != 2 { throw InputError("question answering needs a question and a context") }
    return Example(texts[0], pair: texts[1])
  }

  /// Overlapping windows over the context, the question before each.
  public func encode(
    _ example: Example, _ tokenizer: Tokenizer, maxLength: Int, docStride: Int
  ) throws -> [Encoding] {
    try tokenizer.windows(
      question: example.text, context: context(example), maxLength: maxLength, docStride: docStride)
  }

  public func answer(_ example: Example, _ rows: [Row], _ tokenizer: Tokenizer) throws -> Answer {
    let spans = try rows.flatMap { try candidates($0) }
    if spans.isEmpty { return .span(Span(text: "", start: 0, end: 0, score: 0)) }
    let logits = spans.map(\.logit)
    let best = argmax(logits)
    let (_, start, end) = spans[best]
    let text = try context(example).between(start, end)
    return .span(Span(text: text, start: start, end: end, score: softmax(logits)[best]))
  }

  private func context(_ example: Example) throws -> String {
    guard let context = example.pair else { throw InputError("a question without its context") }
    return context
  }

  /// The valid spans among a window's best starts and ends.
  private func candidates(_ row: Row) throws -> [(logit: Float, start: Int, end: Int)] {
    let encoding = row.encoding
    let (starts, ends) = (try row.output("start_logits"), try row.output("end_logits"))
    let inContext = { (logits: [Float]) in
      largest(logits, Self.bestPositions).filter { encoding.sequences[$0] == 1 }
    }
    let lasts = inContext(ends)
    return inContext(starts).flatMap { first in
      lasts.filter { $0 >= first && $0 < first + Self.longestAnswer && (starts[first] + ends[$0]).isFinite }
        .map { (starts[first] + ends[$0], encoding.starts[first], encoding.ends[$0]) }
    }
  }
}
