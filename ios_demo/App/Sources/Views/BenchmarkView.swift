import SqueezeBertKit
import SwiftUI

/// A bundle's latency on this device, by the protocol of docs/record.md.
struct BenchmarkView: View {
  @Environment(Demo.self) private var demo
  @Environment(\.scenePhase) private var phase
  @State private var model = BenchmarkModel()
  @State private var chosen: String?
  @State private var measurementProtocol = MeasurementProtocol.rapid
  @State private var unit: String?
  @State private var threads = 1

  private var bundle: ModelBundle? { demo.bundles.first { $0.sha256 == chosen } ?? demo.bundles.first }

  var body: some View {
    NavigationStack {
      if let bundle {
        Form {
          Section("What") { settings(of: bundle) }
            .disabled(model.isRunning)
          Section("Device") { DeviceStatusView() }
          Section { controls(of: bundle) }
          if case .done(let record, let file) = model.state { RecordSections(record: record, file: file) }
        }
        .navigationTitle("Benchmark")
        // The system suspends what is behind, and the clock goes on.
        .onChange(of: phase) { if phase == .background { model.cancel() } }
        .onChange(of: demo.bundles.map(\.sha256), initial: true) { chosen = bundle.sha256 }
      } else {
        NoBundles()
      }
    }
  }

  @ViewBuilder
  private func settings(of bundle: ModelBundle) -> some View {
    Picker("Bundle", selection: $chosen) {
      ForEach(demo.bundles, id: \.sha256) { Text($0.directory.lastPathComponent).tag(Optional($0.sha256)) }
    }
    Picker("Protocol", selection: $measurementProtocol) {
      ForEach(MeasurementProtocol.choices, id: \.name) { Text($0.name).tag($0) }
    }
    if bundle.manifest.format == "coreml" {
      Picker("Compute unit", selection: $unit) {
        Text("Core ML decides").tag(String?.none)
        ForEach(coreMLUnits, id: \.self) { Text($0).tag(Optional($0)) }
      }
    } else {
      Stepper("Threads: \(threads)", value: $threads, in: 1...ProcessInfo.processInfo.activeProcessorCount)
    }
    Text(bundle.summary)
      .font(.caption)
      .foregroundStyle(.secondary)
  }

  @ViewBuilder
  private func controls(of bundle: ModelBundle) -> some View {
    switch model.state {
    case .running(let progress):
      ProgressView(value: progress.share(of: measurementProtocol)) { Text(progress.words) }
        .accessibilityValue(progress.words)
      Button("Cancel", role: .cancel) { model.cancel() }
    case .failed(let problem):
      Label(problem, systemImage: "exclamationmark.triangle")
        .foregroundStyle(.red)
      start(bundle)
    case .idle, .done:
      start(bundle)
    }
  }

  private func start(_ bundle: ModelBundle) -> some View {
    Button("Measure") {
      let texts = DemoTask(rawValue: bundle.manifest.task)?.examples.filter { !$0.isEmpty } ?? []
      let settings =
        bundle.manifest.format == "coreml" ? Settings(unit: unit) : Settings(threads: threads, unit: "cpu")
      model.start(bundle, texts: texts, settings: settings, by: measurementProtocol, in: demo)
    }
    .disabled(demo.isComputing)
    .accessibilityHint("Takes \(measurementProtocol.seconds.formatted()) seconds or more")
  }
}
