import Foundation
import Observation
import SqueezeBertKit

/// How the device is, read again every few seconds while somebody looks.
@MainActor @Observable
final class DeviceStatus {
  private(set) var state: DeviceState?

  /// Reads until the task that runs this is cancelled.
  func follow() async {
    while !Task.isCancelled {
      state = await ThisDevice().state()
      try? await Task.sleep(for: .seconds(3))
    }
  }
}
