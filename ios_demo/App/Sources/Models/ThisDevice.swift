import Foundation
import SqueezeBertKit
import UIKit

/// What an iPhone tells an app of itself.
struct ThisDevice: DeviceFacts {
  #if targetEnvironment(simulator)
    let isEmulated = true  // a Mac's processor: its times are no phone's
  #else
    let isEmulated = false
  #endif

  var device: Device {
    let reason = "iOS does not tell an app"
    return Device(
      kind: "ios", name: machine, os: systemVersion(), architecture: "arm64",
      cpus: ProcessInfo.processInfo.activeProcessorCount,
      memoryBytes: Int(ProcessInfo.processInfo.physicalMemory),
      unknown: ["soc": reason, "clusters": reason])
  }

  func state() async -> DeviceState {
    let (level, charging) = await battery()
    return DeviceState(
      thermalStatus: ProcessInfo.processInfo.thermalState.word, battery: level, charging: charging,
      lowPowerMode: ProcessInfo.processInfo.isLowPowerModeEnabled, reason: "iOS does not tell an app")
  }

  /// The battery's level from 0 to 1, and whether it is charged; neither where the system does not say.
  @MainActor
  private func battery() -> (level: Double?, charging: Bool?) {
    UIDevice.current.isBatteryMonitoringEnabled = true
    let (level, state) = (UIDevice.current.batteryLevel, UIDevice.current.batteryState)
    return (level < 0 ? nil : Double(level), state == .unknown ? nil : state != .unplugged)
  }

  /// The model by Apple's identifier, such as iPhone15,4.
  private var machine: String {
    var system = utsname()
    uname(&system)
    return withUnsafeBytes(of: &system.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}

extension ProcessInfo.ThermalState {
  /// Apple's word for it.
  var word: String {
    switch self {
    case .nominal: "nominal"
    case .fair: "fair"
    case .serious: "serious"
    case .critical: "critical"
    @unknown default: "unknown"
    }
  }
}
