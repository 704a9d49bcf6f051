import SqueezeBertKit
import SwiftUI

/// An answer of any task.
struct AnswerView: View {
  let answer: Answer
  /// The texts that were asked: places in an answer are places in the last of them.
  let asked: [String]

  var body: some View {
    switch answer {
    case .label(let label, let scores):
      Text(label.name)
        .font(.title3.bold())
      ScoreList(scores: scores)
    case .labels(let labels, let scores):
      Text(labels.isEmpty ? "None" : labels.joined(separator: ", "))
        .font(.title3.bold())
      ScoreList(scores: scores)
    case .numbers(let values):
      Text(values.map { Double($0).formatted(.number.precision(.fractionLength(3))) }.joined(separator: ", "))
        .font(.title3.bold())
    case .choice(_, let ending, let scores):
      Text(ending)
        .font(.title3.bold())
      ScoreList(scores: zip(asked.dropFirst(), scores).map { Score(name: $0, score: $1) })
    case .words(let words):
      ForEach(words.indices, id: \.self) { index in
        LabeledContent(words[index].word, value: "\(words[index].label.name) \(percent(words[index].label.score))")
      }
    case .span(let span):
      if span.text.isEmpty { Text("No answer").font(.title3.bold()) } else { SpanView(span: span, context: asked.last) }
    case .masks(let masks):
      ForEach(masks.indices, id: \.self) { ScoreList(scores: masks[$0].candidates) }
    case .features(let tokens, let outputs):
      Text("\(tokens.count) tokens")
      ForEach(outputs.keys.sorted(), id: \.self) { name in
        LabeledContent(name, value: "\(outputs[name]?.count ?? 0) values")
      }
    }
  }
}

private struct Score {
  let name: String
  let score: Float
}

private struct ScoreList: View {
  let scores: [Score]

  init(scores: [Score]) { self.scores = scores }

  init(scores: [Scored]) { self.scores = scores.map { Score(name: $0.name, score: $0.score) } }

  var body: some View {
    ForEach(scores.indices, id: \.self) { index in
      ProgressView(value: Double(min(max(scores[index].score, 0), 1))) {
        HStack {
          Text(scores[index].name)
          Spacer()
          Text(percent(scores[index].score))
            .monospacedDigit()
        }
      }
      .accessibilityElement(children: .ignore)
      .accessibilityLabel(scores[index].name)
      .accessibilityValue(percent(scores[index].score))
    }
  }
}

/// The answer to a question, and where it stands.
private struct SpanView: View {
  let span: Span
  let context: String?

  var body: some View {
    Text(span.text)
      .font(.title3.bold())
    Text(percent(span.score))
      .monospacedDigit()
    if let context {
      Text(marked(context))
        .font(.callout)
        .accessibilityHidden(true)  // the answer itself was read out
    }
  }

  private func marked(_ context: String) -> AttributedString {
    var text = AttributedString(context)
    if let range = Range(context.range(ofScalars: span.start..<span.end), in: text) {
      text[range].backgroundColor = Color.yellow.opacity(0.4)
      text[range].inlinePresentationIntent = .stronglyEmphasized
    }
    return text
  }
}
