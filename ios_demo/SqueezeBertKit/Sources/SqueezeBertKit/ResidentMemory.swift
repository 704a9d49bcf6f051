#if canImport(Darwin)
  @preconcurrency import Darwin  // mach_task_self_ is a variable to SDKs before that of macOS 15.4
#else
  import Foundation
#endif

/// Bytes of this process in memory: now, and the most there ever were.
struct ResidentMemory {
  let now: Int
  let most: Int

  #if canImport(Darwin)
    /// What the kernel counts, or nil if it does not say.
    static func read() -> ResidentMemory? {
      var info = mach_task_basic_info()
      let words = MemoryLayout<mach_task_basic_info>.size / MemoryLayout<natural_t>.size
      var count = mach_msg_type_number_t(words)
      let status = withUnsafeMutablePointer(to: &info) { pointer in
        pointer.withMemoryRebound(to: integer_t.self, capacity: words) {
          task_info(mach_task_self_, task_flavor_t(MACH_TASK_BASIC_INFO), $0, &count)
        }
      }
      guard status == KERN_SUCCESS else { return nil }
      return ResidentMemory(now: Int(info.resident_size), most: Int(info.resident_size_max))
    }
  #else
    static func read() -> ResidentMemory? {
      guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
        let now = bytes("VmRSS:", in: status), let most = bytes("VmHWM:", in: status)
      else { return nil }
      return ResidentMemory(now: now, most: most)
    }

    private static func bytes(_ name: String, in status: String) -> Int? {
      let line = status.split(separator: "\n").first { $0.hasPrefix(name) }
      return line.flatMap { Int($0.filter(\.isNumber)) }.map { $0 * 1024 }
    }
  #endif
}
