import Charts
import SqueezeBertKit
import SwiftUI

/// What was measured: numbers, charts, and the record as a file.
struct RecordSections: View {
  let record: Record
  let file: URL

  private var samples: Samples { record.samples }

  /// Enough to see, and not too many to draw.
  private var shown: [Int] {
    let count = samples.latencyNs.count
    return Array(stride(from: 0, to: count, by: max(1, count / 1000)))
  }

  var body: some View {
    Section("Latency") {
      Text(record.standing)
        .foregroundStyle(record.validity.valid ? Color.primary : Color.red)
      LabeledContent("Median", value: milliseconds(record.latency.overall.p50Ns))
      LabeledContent("90th percentile", value: milliseconds(record.latency.overall.p90Ns))
      if let p99 = record.latency.overall.p99Ns { LabeledContent("99th percentile", value: milliseconds(p99)) }
      LabeledContent("Queries", value: "\(record.latency.overall.count)")
      if let load = record.coldStart.loadNs { LabeledContent("Loading", value: milliseconds(load)) }
      if let thermal = record.after.thermalStatus { LabeledContent("Thermal state after", value: thermal) }
    }
    Section("Each query") {
      Chart(shown, id: \.self) { index in
        PointMark(
          x: .value("Seconds", Double(samples.startNs[index]) / 1e9),
          y: .value("Milliseconds", Double(samples.latencyNs[index]) / 1e6)
        )
        .symbolSize(12)
      }
      .chartXAxisLabel("seconds since the first")
      .chartYAxisLabel("ms")
      .frame(minHeight: 220)
      .accessibilityLabel("Latency of each query over time")
      .accessibilityValue(
        "from \(milliseconds(record.latency.overall.leastNs)) to \(milliseconds(record.latency.overall.mostNs))")
    }
    Section("Record") {
      ShareLink(item: file) { Label("Share the record", systemImage: "square.and.arrow.up") }
      Text("Also under On My iPhone, SqueezeBERT, records. squeezebert-edge report shows a directory of them.")
        .font(.footnote)
        .foregroundStyle(.secondary)
    }
  }
}
