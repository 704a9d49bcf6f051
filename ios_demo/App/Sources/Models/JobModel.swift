import Foundation
import Observation
import SqueezeBertKit
import UIKit

/// A computer's job (docs/app_job.md), done once the app starts with `--job ID`; the app ends when the result is there.
@MainActor @Observable
final class JobModel {
  let id: String
  private(set) var progress = Benchmark.Progress.loading

  /// The job that the launch arguments ask for, if they ask for one.
  init?(arguments: [String] = CommandLine.arguments) {
    guard let index = arguments.firstIndex(of: "--job"), index + 1 < arguments.count else { return nil }
    id = arguments[index + 1]
  }

  /// Does the job with the screen kept on, and ends the app: who asked sees that it ended.
  func run() async {
    UIApplication.shared.isIdleTimerDisabled = true
    let (updates, told) = AsyncStream.makeStream(
      of: Benchmark.Progress.self, bufferingPolicy: .bufferingNewest(1))
    async let done: Void = finish(id, telling: told)
    for await update in updates { progress = update }
    do {
      try await done
      exit(0)
    } catch {
      // There is no job to leave a result in: devicectl's console shows this.
      FileHandle.standardError.write(Data("\(error)\n".utf8))
      exit(2)
    }
  }
}

private func finish(_ id: String, telling told: AsyncStream<Benchmark.Progress>.Continuation) async throws {
  defer { told.finish() }
  _ = try await Job.run(id, in: .documentsDirectory, engines: engines, on: ThisDevice()) { told.yield($0) }
}
