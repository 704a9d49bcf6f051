#if canImport(os)
  import os

  private let signposter = OSSignposter(subsystem: "io.squeezebert.edge", category: .pointsOfInterest)

  /// Marks a stage of the work for Instruments.
  func stage<Result>(_ name: StaticString, _ work: () throws -> Result) rethrows -> Result {
    try signposter.withIntervalSignpost(name, around: work)
  }

  /// Marks a stage that waits.
  func stage<Result>(
    _ name: StaticString, _ work: () async throws -> sending Result
  ) async rethrows -> sending Result {
    let state = signposter.beginInterval(name)
    defer { signposter.endInterval(name, state) }
    return try await work()
  }
#else
  func stage<Result>(_ name: StaticString, _ work: () throws -> Result) rethrows -> Result { try work() }

  func stage<Result>(
    _ name: StaticString, _ work: () async throws -> sending Result
  ) async rethrows -> sending Result { try await work() }
#endif
