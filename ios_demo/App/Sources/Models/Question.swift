import Foundation
import Observation
import SqueezeBertKit

/// One text, asked of every bundle of a task in turn: their answers and latencies side by side.
@MainActor @Observable
final class Question {
  /// What one bundle said.
  struct Reply: Identifiable {
    let bundle: ModelBundle
    var answer: Result<TimedAnswer, any Error>?

    var id: String { bundle.sha256 }
  }

  let task: DemoTask
  var texts: [String]
  private(set) var replies: [Reply] = []
  /// What was asked for these replies: spans are places in it.
  private(set) var asked: [String] = []

  init(_ task: DemoTask) {
    self.task = task
    texts = task.examples
  }

  /// Whether enough is filled in.
  var isComplete: Bool { texts.prefix(task.required).allSatisfy { !$0.isEmpty } }

  /// Asks the bundles, one after the other so that none takes another's time.
  func ask(_ demo: Demo) async {
    demo.isComputing = true
    defer { demo.isComputing = false }
    asked = texts.filter { !$0.isEmpty }
    replies = demo.bundles(of: task).map { Reply(bundle: $0) }
    for index in replies.indices {
      do {
        let session = try await demo.session(of: replies[index].bundle)
        replies[index].answer = .success(try await session.answer(asked))
      } catch {
        replies[index].answer = .failure(error)
      }
    }
  }
}
