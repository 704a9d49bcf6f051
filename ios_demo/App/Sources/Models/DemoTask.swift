/// What a bundle may be asked, by its task's name in manifests, and something to begin with.
enum DemoTask: String, CaseIterable, Identifiable, Sendable {
  case classification = "text-classification"
  case choice = "multiple-choice"
  case words = "token-classification"
  case mask = "fill-mask"
  case features = "feature-extraction"
  case questions = "question-answering"

  var id: String { rawValue }

  var name: String {
    switch self {
    case .classification: "Classify"
    case .choice: "Choose an ending"
    case .words: "Tag words"
    case .mask: "Fill the mask"
    case .features: "Features"
    case .questions: "Answer a question"
    }
  }

  /// The fields to fill in, in the order of the texts; those after the `required` ones may stay empty.
  var fields: [String] {
    switch self {
    case .classification: ["Text", "Second text, of a pair"]
    case .choice: ["Beginning", "Ending", "Ending", "Ending", "Ending"]
    case .words, .features: ["Text"]
    case .mask: ["Text with [MASK]"]
    case .questions: ["Question", "Context"]
    }
  }

  /// How many of the fields must be filled in.
  var required: Int {
    switch self {
    case .choice: 3
    case .questions: 2
    default: 1
    }
  }

  /// A text for each field.
  var examples: [String] {
    switch self {
    case .classification: ["A gorgeous, witty, seductive film.", ""]
    case .choice:
      [
        "To be on time for the train at nine, Luis", "left home at ten.", "left home at eight.", "unpacked his bag.",
        "",
      ]
    case .words: ["Mara Quillon moved from Dunvale to the coast."]
    case .mask: ["In winter the [MASK] sets before four o'clock."]
    case .features: ["A gorgeous, witty, seductive film."]
    case .questions:
      [
        "What drives the wheel of the mill?",
        "The mill at Saltreach has no river to turn its wheel. Instead, the tide fills a pond behind a stone dyke twice "
          + "a day, and the water is let out through a narrow channel once the sea has fallen.",
      ]
    }
  }
}
