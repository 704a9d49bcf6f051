import Foundation
import SqueezeBertKit

struct TokenizeRequest: Decodable {
  let text: String?
  let pair: String?
  let question: String?
  let context: String?
  let maxLength: Int
  let docStride: Int?
  let truncate: Truncation?
}

struct AnswerRequest: Decodable {
  let texts: [String]
  let outputs: [[String: [Float]]]?
}

struct DescribeRequest: Decodable {
  let format: String
  let artifact: String
}

private struct Rows<Row: Encodable>: Encodable {
  let rows: [Row]
}

private struct TokenRow: Encodable {
  let ids: [Int32]
  let tokenTypes: [Int32]
  let starts: [Int]
  let ends: [Int]
  let sequences: [Int]
  let words: [Int]
  let truncated: Bool
}

private struct FeatureRow: Encodable {
  let length: Int
  let inputs: [String: [Int32]]
}

func tokenize(_ asked: TokenizeRequest, _ tokenizer: Tokenizer) throws -> Data {
  let encodings =
    if let question = asked.question {
      try tokenizer.windows(
        question: question, context: asked.context ?? "", maxLength: asked.maxLength,
        docStride: asked.docStride ?? defaultDocStride)
    } else {
      [
        try tokenizer.encode(
          asked.text ?? "", pair: asked.pair, maxLength: asked.maxLength, truncate: asked.truncate ?? .longest)
      ]
    }
  let rows = encodings.map { encoding in
    TokenRow(
      ids: encoding.ids, tokenTypes: encoding.tokenTypes, starts: encoding.starts, ends: encoding.ends,
      sequences: encoding.sequences.map { $0 ?? -1 }, words: encoding.words.map { $0 ?? -1 },
      truncated: encoding.truncated)
  }
  return try encoded(Rows(rows: rows))
}

func features(_ asked: AnswerRequest, _ predictor: Predictor) throws -> Data {
  let rows = try predictor.encode(asked.texts).map { encoding in
    let features = try predictor.features(encoding)
    return FeatureRow(length: features.length, inputs: features.inputs)
  }
  return try encoded(Rows(rows: rows))
}

/// Answers with outputs that were computed elsewhere.
func answer(_ asked: AnswerRequest, _ predictor: Predictor) throws -> Data {
  let answer = try predictor.answer(asked.texts, with: Computed(asked.outputs ?? []))
  return try JSONSerialization.data(withJSONObject: fields(answer))
}

func describe(_ asked: DescribeRequest) throws -> Data {
  let said = description(of: URL(fileURLWithPath: asked.artifact), format: asked.format)
  return try said.map { try encoded($0) } ?? encoded([String: String]())
}

private final class Computed: Classifier {
  private var outputs: ArraySlice<[String: [Float]]>

  init(_ outputs: [[String: [Float]]]) { self.outputs = outputs[...] }

  func run(_ features: Features, entryPoint: String) throws -> [String: [Float]] {
    guard let row = outputs.popFirst() else { throw InputError("fewer outputs than rows") }
    return row
  }
}

/// The fields that `squeezebert-edge predict --json` prints.
private func fields(_ answer: Answer) -> [String: Any] {
  switch answer {
  case .label(let label, let scores): ["label": label.name, "score": label.score, "scores": fields(scores)]
  case .labels(let labels, let scores): ["labels": labels, "scores": fields(scores)]
  case .numbers(let values): ["value": values.count == 1 ? values[0] : values]
  case .choice(let choice, let ending, let scores): ["choice": choice, "ending": ending, "scores": scores]
  case .words(let words):
    [
      "words": words.map {
        ["word": $0.word, "start": $0.start, "end": $0.end, "label": $0.label.name, "score": $0.label.score]
          as [String: Any]
      }
    ]
  case .span(let span): ["answer": span.text, "start": span.start, "end": span.end, "score": span.score]
  case .masks(let masks):
    [
      "masks": masks.map { mask in
        [
          "start": mask.start, "end": mask.end,
          "candidates": mask.candidates.map { ["token": $0.name, "score": $0.score] as [String: Any] },
        ] as [String: Any]
      }
    ]
  case .features(let tokens, let outputs): (outputs as [String: Any]).merging(["tokens": tokens]) { $1 }
  }
}

private func fields(_ scores: [Scored]) -> [String: Float] {
  Dictionary(scores.map { ($0.name, $0.score) }) { first, _ in first }
}
