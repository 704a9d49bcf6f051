import SqueezeBertKit
import SwiftUI

/// What slows a phone down: heat, low-power mode, an empty battery.
struct DeviceStatusView: View {
  @State private var status = DeviceStatus()

  var body: some View {
    Group {
      if let state = status.state {
        LabeledContent("Thermal state", value: state.thermalStatus ?? "unknown")
          .foregroundStyle(["serious", "critical"].contains(state.thermalStatus) ? Color.red : Color.primary)
        LabeledContent("Low-power mode", value: state.lowPowerMode == true ? "on: slower" : "off")
        LabeledContent("Battery", value: battery(state))
      }
    }
    .task { await status.follow() }
  }

  private func battery(_ state: DeviceState) -> String {
    guard let level = state.battery else { return "unknown" }
    return level.formatted(.percent.precision(.fractionLength(0))) + (state.charging == true ? ", charging" : "")
  }
}
