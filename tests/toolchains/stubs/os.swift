// As much of Apple's os module as the kit calls (developer.apple.com/documentation/os/ossignposter).

public struct OSSignposter: Sendable {
  public struct Category: Sendable {
    public static let pointsOfInterest = Category()
  }

  public init(subsystem: String, category: Category) {}
  public func withIntervalSignpost<T>(
    _ name: StaticString, id: OSSignpostID = .exclusive, around task: () throws -> T
  ) rethrows -> T { try task() }
  public func beginInterval(_ name: StaticString, id: OSSignpostID = .exclusive) -> OSSignpostIntervalState {
    fatalError()
  }
  public func endInterval(_ name: StaticString, _ state: OSSignpostIntervalState) {}
}

public struct OSSignpostID: Sendable {
  public static let exclusive = OSSignpostID()
}

public class OSSignpostIntervalState {}
