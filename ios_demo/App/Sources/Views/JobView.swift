import SqueezeBertKit
import SwiftUI

/// A computer's job at work; the app ends when it is done.
struct JobView: View {
  let job: JobModel

  var body: some View {
    VStack(spacing: 16) {
      ProgressView()
      Text(job.progress.words)
        .monospacedDigit()
      Text("Job \(job.id). Keep the app open.")
        .font(.footnote)
        .foregroundStyle(.secondary)
    }
    .multilineTextAlignment(.center)
    .padding()
    .task(priority: .userInitiated) { await job.run() }
  }
}
