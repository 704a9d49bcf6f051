import Foundation
import SqueezeBertKit

let usage = """
  usage: squeezebert-kit tokenize BUNDLE | features BUNDLE | answer BUNDLE | units BUNDLE | describe | record |
         job ENGINE DOCUMENTS ID

  The first six read JSON lines on stdin and print one for each; {"error": ...} where a line cannot be answered.
  tokenize   {"text", "pair"?, "max_length", "truncate"?: longest, first or second}, or
             {"question", "context", "max_length", "doc_stride"} -> {"rows": [...]}
  features   {"texts": [...]}, as for predict -> {"rows": [{"length", "inputs"}]}
  answer     {"texts": [...], "outputs": [{name: [...]}, ...]}, flat, one for each row -> the answer
  units      {} -> {"units": {unit: {"files", "verification"}}}
  describe   {"format", "artifact"} -> {"metadata", "entry_points"}, {} where nothing can be read
  record     a record of a measurement -> the same as it was read and checked

  job does the job of docs/app_job.md that is in DOCUMENTS, as the app does. ENGINE is coreml, where there is Core ML, or
  stand-in, whose outputs are the sum of the ids, that and 1, that and 2 and so on.
  """

do {
  let arguments = CommandLine.arguments.dropFirst()
  switch (arguments.first, arguments.count) {
  case ("tokenize", 2):
    let tokenizer = try opened(arguments.last).tokenizer()
    try eachLine { try tokenize(decoded(TokenizeRequest.self, from: $0), tokenizer) }
  case ("features", 2):
    let predictor = try Predictor(opened(arguments.last))
    try eachLine { try features(decoded(AnswerRequest.self, from: $0), predictor) }
  case ("answer", 2):
    let predictor = try Predictor(opened(arguments.last))
    try eachLine { try answer(decoded(AnswerRequest.self, from: $0), predictor) }
  case ("units", 2):
    let units = try opened(arguments.last).manifest.units ?? [:]
    try eachLine { _ in try encoded(["units": units]) }
  case ("describe", 1):
    try eachLine { try describe(decoded(DescribeRequest.self, from: $0)) }
  case ("record", 1):
    try eachLine { try Record($0).encoded() }
  case ("job", 4):
    let documents = URL(fileURLWithPath: arguments[3], isDirectory: true)
    _ = try await Job.run(arguments[4], in: documents, engines: [engine(arguments[2])], on: StandInDevice())
  default:
    throw InputError(usage)
  }
} catch {
  FileHandle.standardError.write(Data("\(error)\n".utf8))
  exit(2)
}

func engine(_ name: String) throws -> any Engine {
  #if canImport(CoreML)
    if name == "coreml" { return CoreMLEngine() }
  #endif
  if name == "stand-in" { return StandIn() }
  throw InputError("engine \(name)", allowed: "stand-in; coreml, on a Mac")
}

func opened(_ path: String?) throws -> ModelBundle {
  try ModelBundle(at: URL(fileURLWithPath: path ?? "", isDirectory: true))
}

func eachLine(_ answer: (Data) throws -> Data) throws {
  let asked = FileHandle.standardInput.readDataToEndOfFile()
  for line in asked.split(separator: UInt8(ascii: "\n")) {
    let answered: Data
    do {
      answered = try answer(Data(line))
    } catch let error as InputError {
      answered = try encoded(["error": error.description])
    }
    FileHandle.standardOutput.write(answered + Data("\n".utf8))
  }
}
