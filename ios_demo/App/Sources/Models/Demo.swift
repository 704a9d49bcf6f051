import Foundation
import Observation
import SqueezeBertKit
import SqueezeBertKitExecuTorch

/// What runs bundles here; a TFLite bundle is for Android.
let engines: [any Engine] = [CoreMLEngine(), ExecuTorchEngine()]

/// The bundles that are here, each opened when it is first asked.
@MainActor @Observable
final class Demo {
  private(set) var bundles: [ModelBundle] = []
  /// Whether a bundle computes: one at a time, for what computes beside another takes its time.
  var isComputing = false
  /// Whether the bundles are being read.
  private(set) var isReading = true
  /// What went wrong, until it was read.
  var problem: String?
  /// False once it was read.
  var hasProblem: Bool {
    get { problem != nil }
    set { if !newValue { problem = nil } }
  }

  let store: BundleStore
  private var sessions: [String: Session] = [:]

  init(store: BundleStore = .app) { self.store = store }

  /// Reads the bundles.
  func refresh() async {
    isReading = true
    let found = await store.all()
    bundles = found.compactMap { try? $0.get() }
    let wrong = found.compactMap { result in
      if case .failure(let error) = result { error.localizedDescription } else { nil }
    }
    if !wrong.isEmpty { problem = wrong.joined(separator: "\n\n") }
    isReading = false
  }

  /// Takes over a folder that the user picked.
  func bring(_ folder: URL) async { await attempt { try await self.store.bring(folder) } }

  /// Removes a bundle that the user brought.
  func remove(_ bundle: ModelBundle) async {
    sessions[bundle.sha256] = nil
    await attempt { try await self.store.remove(bundle) }
  }

  /// The bundles of a task.
  func bundles(of task: DemoTask) -> [ModelBundle] { bundles.filter { $0.manifest.task == task.rawValue } }

  /// The tasks that there are bundles of.
  var tasks: [DemoTask] { DemoTask.allCases.filter { !bundles(of: $0).isEmpty } }

  /// The bundle in its runtime, loaded if it is not yet.
  func session(of bundle: ModelBundle) async throws -> Session {
    if let session = sessions[bundle.sha256] { return session }
    // One thread where that can be chosen, as everywhere in this project where nothing else is said.
    let settings = bundle.manifest.format == "coreml" ? Settings() : Settings(threads: 1)
    let session = try await Session.open(bundle, engines: engines, settings: settings)
    sessions[bundle.sha256] = session
    return session
  }

  /// Unloads what was asked: a measurement has the memory to itself, and may set the process's threads.
  func closeSessions() { sessions = [:] }

  private func attempt(_ work: () async throws -> Void) async {
    do {
      try await work()
    } catch {
      problem = error.localizedDescription
      return
    }
    await refresh()
  }
}
