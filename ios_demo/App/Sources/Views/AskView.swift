import SqueezeBertKit
import SwiftUI

/// A text, and what every bundle of a task says of it, side by side.
struct AskView: View {
  let tasks: [DemoTask]
  @State private var chosen: DemoTask?

  private var task: DemoTask? { chosen.flatMap { tasks.contains($0) ? $0 : nil } ?? tasks.first }

  var body: some View {
    NavigationStack {
      if let task {
        QuestionForm(task: task)
          .id(task)
          .navigationTitle(task.name)
          .toolbar {
            if tasks.count > 1 {
              Menu("Task", systemImage: "list.bullet") {
                ForEach(tasks) { task in
                  Button(task.name) { chosen = task }
                }
              }
            }
          }
      } else {
        NoBundles()
      }
    }
  }
}

private struct QuestionForm: View {
  @Environment(Demo.self) private var demo
  @Environment(\.dynamicTypeSize) private var dynamicTypeSize
  @State private var question: Question
  @FocusState private var isTyping: Bool

  init(task: DemoTask) { _question = State(initialValue: Question(task)) }

  private var columns: [GridItem] {
    [GridItem(.adaptive(minimum: dynamicTypeSize.isAccessibilitySize ? 600 : 280), alignment: .top)]
  }

  var body: some View {
    ScrollView {
      VStack(alignment: .leading, spacing: 16) {
        ForEach(question.task.fields.indices, id: \.self) { index in
          TextField(question.task.fields[index], text: $question.texts[index], axis: .vertical)
            .textFieldStyle(.roundedBorder)
            .focused($isTyping)
            .accessibilityLabel(question.task.fields[index])
        }
        Button {
          isTyping = false
          Task { await question.ask(demo) }
        } label: {
          if demo.isComputing { ProgressView() } else { Text(question.task.name) }
        }
        .buttonStyle(.borderedProminent)
        .disabled(!question.isComplete || demo.isComputing)
        .accessibilityLabel(demo.isComputing ? "Computing" : question.task.name)
        LazyVGrid(columns: columns, alignment: .leading, spacing: 16) {
          ForEach(question.replies) { ReplyView(reply: $0, asked: question.asked) }
        }
      }
      .padding()
    }
    .scrollDismissesKeyboard(.interactively)
  }
}

/// One bundle's answer, and what it took.
private struct ReplyView: View {
  let reply: Question.Reply
  let asked: [String]

  var body: some View {
    GroupBox(reply.bundle.directory.lastPathComponent) {
      VStack(alignment: .leading, spacing: 8) {
        Text(reply.bundle.summary)
          .font(.caption)
          .foregroundStyle(.secondary)
        switch reply.answer {
        case nil:
          ProgressView()
            .accessibilityLabel("Waiting for its answer")
        case .success(let timed):
          AnswerView(answer: timed.answer, asked: asked)
          Text(timed.summary)
            .font(.footnote.monospacedDigit())
            .foregroundStyle(.secondary)
        case .failure(let error):
          Label(error.localizedDescription, systemImage: "exclamationmark.triangle")
            .foregroundStyle(.red)
        }
      }
      .frame(maxWidth: .infinity, alignment: .leading)
    }
    .accessibilityElement(children: .combine)
  }
}
