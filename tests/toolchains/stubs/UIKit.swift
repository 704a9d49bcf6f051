// As much of UIKit as the app's models call, and of Apple's Foundation what Linux lacks (developer.apple.com), so that
// Linux can check their types. Nothing here works.

import Foundation

@MainActor
public class UIDevice {
  public enum BatteryState: Int, Sendable { case unknown, unplugged, charging, full }

  public static var current: UIDevice { fatalError() }
  public var isBatteryMonitoringEnabled = false
  public var batteryLevel: Float { fatalError() }
  public var batteryState: BatteryState { fatalError() }
}

@MainActor
public class UIApplication {
  public static var shared: UIApplication { fatalError() }
  public var isIdleTimerDisabled = false
}

extension ProcessInfo {
  public enum ThermalState: Int, Sendable { case nominal, fair, serious, critical }

  public var thermalState: ThermalState { fatalError() }
  public var isLowPowerModeEnabled: Bool { fatalError() }
}

extension URL {
  public static var documentsDirectory: URL { fatalError() }
  public static var applicationSupportDirectory: URL { fatalError() }
  public func startAccessingSecurityScopedResource() -> Bool { fatalError() }
  public func stopAccessingSecurityScopedResource() {}
}
